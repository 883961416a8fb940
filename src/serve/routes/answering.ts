/** How the routes that generate answer: one object, or a stream of events. */
import { rookeryVersion } from "../../base/version.ts";
import type { Grammar } from "../../engine/request.ts";
import { withJsonBody } from "../body.ts";
import { type ApiError, badRequest } from "../errors.ts";
import { eventStream, type Send } from "../event-stream.ts";
import type { Running, ServeContext, Service } from "../service.ts";

/** Names the version behind an answer: the same seed gives the same text as long as it stays. */
export const systemFingerprint = `rookery-${rookeryVersion}`;

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

export function makeId(prefix: string): string {
  return `${prefix}${crypto.randomUUID().replaceAll("-", "")}`;
}

/** Reads the body and hands it to `use`, as `withJsonBody` does. */
export function readBody<Result>(
  service: Service,
  context: ServeContext,
  use: (body: Record<string, unknown>) => Result | Promise<Result>,
): Promise<Result> {
  return withJsonBody(context.req.raw, service.limits, service.bodies, use);
}

/** Answers with the events that `produce` sends; the request stays under way until the last one. */
export function streamAnswer(
  service: Service,
  context: ServeContext,
  options: { reportExperts: boolean; describeError?: (error: ApiError) => { data: object; event?: string } },
  produce: (send: Send) => Promise<void>,
): Promise<Response> {
  const running = context.get("running");
  const { limits } = service;
  running.isStream = true;
  return eventStream(produce, {
    onLeave: () => running.leave(),
    // Nobody is told: whoever does not read does not read that either.
    onTooSlow: () => running.leave(),
    bufferBytes: options.reportExperts ? limits.expertStreamBufferBytes : limits.streamBufferBytes,
    pingMilliseconds: limits.pingMilliseconds,
    describeError: options.describeError ?? ((error) => ({ data: error })),
    onEnd: (error) => {
      running.end();
      if (!running.hasClientLeft) service.reportFault(error);
    },
  });
}

/** What clients send along although this server calls no tools. */
export type ToolFields = {
  tools?: unknown[] | undefined;
  functions?: unknown[] | undefined;
  tool_choice?: unknown;
  function_call?: unknown;
};

/** @throws ApiError 400 when a tool must be called: no answer would keep to that. */
export function ignoreTools(service: Service, fields: ToolFields): void {
  for (const name of ["tool_choice", "function_call"] as const) {
    const choice = fields[name];
    if (choice === undefined || choice === "auto" || choice === "none") continue;
    throw badRequest(`${name}: this server calls no tools; leave it out, or use auto or none`, name);
  }
  if ((fields.tools ?? fields.functions ?? []).length > 0) {
    service.warnOnce("a client sends tools; they are ignored, since this server calls none");
  }
}

/** `response_format` and `grammar` say the same thing in two ways. */
export function oneGrammar(format: Grammar | undefined, ebnf: string | undefined): { grammar?: Grammar } {
  if (format !== undefined && ebnf !== undefined) {
    throw badRequest("grammar: cannot be used together with response_format", "grammar");
  }
  if (ebnf !== undefined) return { grammar: { type: "ebnf", grammar: ebnf } };
  return format === undefined ? {} : { grammar: format };
}

/** Layers × experts of all tokens that an answer in one object may tell of; a stream has no such bound. */
const mostExpertEntries = 2 ** 21;

/** @throws ApiError 400 */
export function checkExpertView(service: Service, tokens: number): void {
  const { numLayers, topK } = service.engine.info;
  const most = Math.floor(mostExpertEntries / (numLayers * topK));
  if (tokens <= most) return;
  throw badRequest(
    `rookery.experts: prompt and answers may have ${tokens} tokens, one object tells of at most ${most}; set stream, or max_tokens`,
    "rookery.experts",
  );
}

/** What the engine has of one request at a time: a batch of hundreds must not fill the queue by itself. */
const mostAtATime = 16;

/** Runs `work` for each item, a few at a time; the first that fails ends the others. */
export async function severalAtATime<Item>(
  running: Running,
  items: readonly Item[],
  work: (item: Item, at: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const at = next++;
      await work(items[at]!, at);
    }
  };
  const workers = Array.from({ length: Math.min(mostAtATime, items.length) }, worker);
  try {
    await Promise.all(workers);
  } catch (error) {
    next = items.length;
    running.controller.abort(error);
    await Promise.allSettled(workers);
    throw error;
  }
}
