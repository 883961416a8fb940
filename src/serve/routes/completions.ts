import type { EngineEvent, EngineRequest, TokenLogprobs } from "../../engine/request.ts";
import { badRequest } from "../errors.ts";
import type { Send } from "../event-stream.ts";
import {
  answerLength,
  type Collected,
  cacheSaltOf,
  collect,
  type ExpertEntry,
  expertEntry,
  follow,
  samplingOf,
  seedOf,
  stopsOf,
  usageOf,
} from "../generation.ts";
import { mostExpertsInChunk, mostPrompts } from "../limits.ts";
import type { Running, ServeContext, Service } from "../service.ts";
import { countCharacters } from "../token-view.ts";
import { parseBody } from "../wire/common.ts";
import { type CompletionRequest, completionRequest } from "../wire/completions.ts";
import { grammarOf } from "../wire/format.ts";
import {
  checkExpertView,
  makeId,
  nowSeconds,
  oneGrammar,
  readBody,
  severalAtATime,
  streamAnswer,
  systemFingerprint,
} from "./answering.ts";

type Prepared = {
  requests: EngineRequest[];
  /** What `echo` puts before each prompt's answers; undefined without it. */
  echoes: (string | undefined)[];
  stream: boolean;
  includeUsage: boolean;
  reportExperts: boolean;
};

/** POST /v1/completions */
export async function completions(service: Service, context: ServeContext): Promise<Response> {
  const prepared = await readBody(service, context, (body) =>
    prepare(service, context, parseBody(completionRequest, body)),
  );
  const running = context.get("running");
  const head = {
    id: makeId("cmpl-"),
    object: "text_completion",
    created: nowSeconds(),
    model: service.model.id,
    system_fingerprint: systemFingerprint,
  };
  if (!prepared.stream) return context.json({ ...head, ...(await whole(service, running, prepared)) });
  return streamAnswer(service, context, { reportExperts: prepared.reportExperts }, (send) =>
    stream(service, running, prepared, head, send),
  );
}

async function prepare(service: Service, context: ServeContext, fields: CompletionRequest): Promise<Prepared> {
  const { model, engine } = service;
  service.checkModel(fields.model);
  if (fields.prompt.length * fields.n > mostPrompts) {
    throw badRequest(`n: prompts times n may be at most ${mostPrompts}`, "n");
  }
  const grammar = oneGrammar(grammarOf(fields.response_format, "response_format"), fields.grammar);
  const isScored = fields.echo && fields.logprobs !== undefined && fields.max_tokens === 1;
  // Whoever scores a prompt takes the last entry of the lists for the generated token and throws it away: it must be there, also
  // where the model would end the text, or the last token of the prompt would be thrown away instead.
  const stops = isScored ? { stopTokenIds: [], stopStrings: [] } : stopsOf(fields, model);
  const sampling = samplingOf(fields, model);
  const reportExperts = fields.rookery?.experts ?? false;
  const requests: EngineRequest[] = [];
  for (const raw of fields.prompt) {
    const prompt = await service.prompts.raw(raw, "prompt");
    requests.push({
      prompt,
      count: fields.n,
      maxTokens: answerLength(prompt.length, fields.max_tokens, engine.info.maxModelLength, "prompt"),
      sampling,
      seed: seedOf(fields.seed),
      ...stops,
      ...(fields.logprobs === undefined ? {} : { topLogprobs: fields.logprobs, promptLogprobs: fields.echo }),
      ...grammar,
      ...(reportExperts ? { reportExperts } : {}),
      ...cacheSaltOf(context.get("running"), fields.cache_salt),
    });
  }
  checkListedLogprobs(requests);
  if (reportExperts && !fields.stream) {
    const tokens = requests.reduce((sum, { prompt, count, maxTokens }) => sum + prompt.length + count * maxTokens, 0);
    checkExpertView(service, tokens);
  }
  const echoes = fields.prompt.map((raw, index) => {
    if (!fields.echo) return undefined;
    return typeof raw === "string" ? raw : model.tokenizer.decode(requests[index]!.prompt);
  });
  return {
    requests,
    echoes,
    stream: fields.stream,
    includeUsage: fields.stream_options?.include_usage ?? false,
    reportExperts,
  };
}

/** Log-probabilities that one answer may list. */
const mostListedLogprobs = 2 ** 21;

/** @throws ApiError 400 */
function checkListedLogprobs(requests: readonly EngineRequest[]): void {
  const listed = requests.reduce((sum, { prompt, count, promptLogprobs, topLogprobs }) => {
    return sum + (promptLogprobs === true ? count * prompt.length * (1 + (topLogprobs ?? 0)) : 0);
  }, 0);
  if (listed <= mostListedLogprobs) return;
  throw badRequest(
    `logprobs: the prompts have ${listed} log-probabilities in all, at most ${mostListedLogprobs} are listed; send fewer prompts at once`,
    "logprobs",
  );
}

async function whole(service: Service, running: Running, prepared: Prepared): Promise<object> {
  const { requests, echoes, reportExperts } = prepared;
  const results: Collected[] = new Array(requests.length);
  await severalAtATime(running, requests, async (request, at) => {
    results[at] = await collect(service.model, request.count, follow(service, request, running));
  });
  const usage = { prompt: 0, written: 0, cached: 0 };
  const choices = results.flatMap((result, at) => {
    const { prompt, count, topLogprobs } = requests[at]!;
    const echo = echoes[at];
    usage.prompt += result.promptTokens;
    usage.cached += result.cachedTokens;
    return result.answers.map(({ text, tokens, logprobs, reason }, index) => {
      usage.written += tokens.length;
      const read = echo === undefined ? [] : [...prompt];
      const readLogprobs: readonly (TokenLogprobs | null)[] = echo === undefined ? [] : result.promptLogprobs;
      return {
        index: at * count + index,
        text: (echo ?? "") + text,
        logprobs:
          topLogprobs === undefined
            ? null
            : service.tokens.completionLogprobs([...read, ...tokens], [...readLogprobs, ...logprobs], 0),
        finish_reason: reason,
      };
    });
  });
  const experts = results.flatMap((result, at) => offsetIndex(result.experts, at * requests[at]!.count));
  return {
    choices,
    usage: usageOf(usage.prompt, usage.written, usage.cached),
    ...(reportExperts ? { rookery: { experts } } : {}),
  };
}

function offsetIndex(experts: readonly ExpertEntry[], offset: number): ExpertEntry[] {
  return experts.map((entry) => ({ ...entry, index: entry.index + offset }));
}

async function stream(
  service: Service,
  running: Running,
  { requests, echoes, includeUsage }: Prepared,
  head: object,
  send: Send,
): Promise<void> {
  const usage = { prompt: 0, written: 0, cached: 0 };
  const write = (choice: object, experts: readonly ExpertEntry[]) =>
    send({
      ...head,
      choices: [choice],
      ...(includeUsage ? { usage: null } : {}),
      ...(experts.length > 0 ? { rookery: { experts } } : {}),
    });
  await severalAtATime(running, requests, async (request, at) => {
    const one = new PromptStream(service, request, at * request.count, echoes[at], write);
    for await (const event of follow(service, request, running)) {
      if (event.type === "prompt") {
        usage.prompt += event.tokens;
        usage.cached += event.cachedTokens;
      } else if (event.type === "token") usage.written++;
      one.push(event);
    }
  });
  if (includeUsage) send({ ...head, choices: [], usage: usageOf(usage.prompt, usage.written, usage.cached) });
  send("[DONE]");
}

/** The chunks of one prompt's answers. */
class PromptStream {
  readonly #service: Service;
  readonly #request: EngineRequest;
  readonly #firstIndex: number;
  readonly #echo: string | undefined;
  readonly #write: (choice: object, experts: readonly ExpertEntry[]) => void;
  /** Characters of each answer so far, the echo among them. */
  readonly #offsets: number[];
  #experts: ExpertEntry[] = [];

  constructor(
    service: Service,
    request: EngineRequest,
    firstIndex: number,
    echo: string | undefined,
    write: (choice: object, experts: readonly ExpertEntry[]) => void,
  ) {
    this.#service = service;
    this.#request = request;
    this.#firstIndex = firstIndex;
    this.#echo = echo;
    this.#write = write;
    this.#offsets = new Array<number>(request.count).fill(countCharacters(echo ?? ""));
  }

  push(event: EngineEvent): void {
    const { model, tokens } = this.#service;
    if (event.type === "prompt") this.#sendEcho(event.logprobs ?? []);
    else if (event.type === "experts") {
      this.#experts.push(...offsetIndex([expertEntry(model, event)], this.#firstIndex));
      if (this.#experts.length >= mostExpertsInChunk) this.#send(event.index, "");
    } else if (event.type === "token") {
      const { index, text, token, logprobs } = event;
      if (text === "" && logprobs === undefined) return;
      const lists = logprobs && tokens.completionLogprobs([token], [logprobs], this.#offsets[index]!);
      this.#offsets[index]! += countCharacters(text);
      this.#send(index, text, lists);
    } else this.#send(event.index, event.text, undefined, event.reason);
  }

  #sendEcho(logprobs: readonly (TokenLogprobs | null)[]): void {
    if (this.#echo === undefined) return;
    const { prompt, count, topLogprobs } = this.#request;
    const { tokens } = this.#service;
    const lists = topLogprobs === undefined ? undefined : tokens.completionLogprobs(prompt, logprobs, 0);
    for (let index = 0; index < count; index++) this.#send(index, this.#echo, lists);
  }

  #send(index: number, text: string, logprobs?: object, finishReason?: string): void {
    const choice = {
      index: this.#firstIndex + index,
      text,
      logprobs: logprobs ?? null,
      finish_reason: finishReason ?? null,
    };
    this.#write(choice, this.#experts);
    this.#experts = [];
  }
}
