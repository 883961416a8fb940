/** The HTTP face of an engine: OpenAI's routes, the tokenizer's, and what operators watch. */
import { Hono } from "hono";
import type { RookeryEvent } from "../base/events.ts";
import type { LoadedEngine } from "../engine/load-engine.ts";
import type { EngineHandle } from "../engine/request.ts";
import { ApiKeys, checkHost } from "./access.ts";
import { ApiError, toApiError } from "./errors.ts";
import { defaultLimits, type Limits } from "./limits.ts";
import { getModel, listModels } from "./routes/models.ts";
import { health, metrics, ready } from "./routes/status.ts";
import type { ServedModel } from "./served-model.ts";
import { type ServeContext, type ServeEnvironment, Service } from "./service.ts";

export type AppOptions = {
  /** By default what a `LoadedEngine` says of its model. */
  model?: ServedModel;
  /** With keys, every route but /health asks for one of them. */
  apiKeys?: readonly string[];
  /** Refuse requests that were sent to another name than localhost: for a server that has no keys. */
  loopbackNamesOnly?: boolean;
  /** Pages for browsers, at `/` and below; behind the keys like everything else. */
  pages?: Hono;
  /** Raised: new requests are refused with 503, and /ready says so. */
  draining?: AbortSignal;
  /** Raised: what still runs is ended. */
  stopping?: AbortSignal;
  limits?: Partial<Limits>;
  /** Warnings for the operator: faults of the server, and what clients ask for in vain. Never prompts or keys. */
  onEvent?: (event: RookeryEvent) => void;
};

type Handler = (service: Service, context: ServeContext) => Response | Promise<Response>;

/** Routes that only tell, and routes that make work: what these read is described by schemas, which the first request brings. */
const tellingRoutes: Record<string, Handler> = {
  "/ready": ready,
  "/metrics": metrics,
  "/tokenizer_info": async (...asked) => (await import("./routes/tokenize.ts")).tokenizerInfo(...asked),
  "/v1/models": listModels,
  "/v1/models/:id{.+}": getModel,
};

const workingRoutes: Record<string, Handler> = {
  "/v1/chat/completions": async (...asked) => (await import("./routes/chat-completions.ts")).chatCompletions(...asked),
  "/v1/completions": async (...asked) => (await import("./routes/completions.ts")).completions(...asked),
  "/v1/responses": async (...asked) => (await import("./routes/responses.ts")).responses(...asked),
  "/v1/embeddings": async (...asked) => (await import("./routes/embeddings.ts")).embeddings(...asked),
  "/tokenize": async (...asked) => (await import("./routes/tokenize.ts")).tokenize(...asked),
  "/detokenize": async (...asked) => (await import("./routes/tokenize.ts")).detokenize(...asked),
};

/**
 * A Hono app over `engine`, which is borrowed. It needs no socket (`app.request(…)`), and mounts in any other app: with Hono's
 * `route`, or by its `fetch` wherever requests and responses are those of the web.
 *
 * @example
 * const app = createApp(await loadEngine("my-run"));
 * const models = await app.request("/v1/models");
 */
export function createApp(engine: LoadedEngine, options?: AppOptions): Hono<ServeEnvironment>;
export function createApp(engine: EngineHandle, options: AppOptions & { model: ServedModel }): Hono<ServeEnvironment>;
export function createApp(engine: EngineHandle, options: AppOptions = {}): Hono<ServeEnvironment> {
  // a LoadedEngine is a ServedModel, too; of other engines the second form asks for one
  const model = options.model ?? (engine as LoadedEngine);
  const limits = { ...defaultLimits(engine.info), ...options.limits };
  const service = new Service(engine, model, limits, options.onEvent);
  const keys = new ApiKeys(options.apiKeys ?? []);
  whenRaised(options.draining, () => service.drain());
  whenRaised(options.stopping, () => service.abortAll());

  const app = new Hono<ServeEnvironment>();
  app.use(async (context, next) => {
    await next();
    const { headers } = context.res;
    headers.set("X-Request-Id", requestId(context.req.header("x-request-id")));
    headers.set("X-Content-Type-Options", "nosniff");
    if (!headers.has("Cache-Control")) headers.set("Cache-Control", "no-store");
    service.metrics.countRequest(context.get("route") ?? "other", context.res.status);
  });
  app.use(async (context, next) => {
    if (options.loopbackNamesOnly) checkHost(context.req.header("host") ?? new URL(context.req.url).host);
    await next();
  });
  tell(app, service, "/health", health);
  app.use(async (context, next) => {
    context.set("tenant", keys.tenantOf(context.req.raw.headers));
    await next();
  });
  for (const [path, handler] of Object.entries(tellingRoutes)) tell(app, service, path, handler);
  for (const [path, handler] of Object.entries(workingRoutes)) {
    app.post(path, (context) => {
      context.set("route", path);
      return work(service, context, handler);
    });
    app.all(path, () => refuseMethod("POST"));
  }
  if (options.pages !== undefined) app.route("/", options.pages);

  app.notFound((context) => answerError(context, new ApiError(404, "there is no such route", { code: "not_found" })));
  app.onError((error, context) => {
    service.reportFault(error);
    return answerError(context, toApiError(error));
  });
  return app;
}

function tell(app: Hono<ServeEnvironment>, service: Service, path: string, handler: Handler): void {
  app.get(path, (context) => {
    context.set("route", path);
    return handler(service, context);
  });
  app.all(path, () => refuseMethod("GET"));
}

/** Runs a handler as a request under way, which a stream stays until its last event. */
async function work(service: Service, context: ServeContext, handler: Handler): Promise<Response> {
  const running = service.open(context.req.raw, context.get("tenant"));
  context.set("running", running);
  try {
    return await handler(service, context);
  } catch (error) {
    running.isStream = false;
    // nginx's number for it; nobody reads it but the metrics.
    if (running.hasClientLeft) return new Response(null, { status: 499 });
    // Why it was ended says more than how the end was noticed.
    const { signal } = running.controller;
    throw signal.aborted && signal.reason instanceof ApiError ? signal.reason : error;
  } finally {
    if (!running.isStream) running.end();
  }
}

function whenRaised(signal: AbortSignal | undefined, react: () => void): void {
  if (signal?.aborted) react();
  else signal?.addEventListener("abort", react, { once: true });
}

function refuseMethod(allowed: string): never {
  throw new ApiError(405, `this route takes ${allowed} only`, {
    code: "method_not_allowed",
    headers: { Allow: allowed === "GET" ? "GET, HEAD" : allowed },
  });
}

function answerError(context: ServeContext, error: ApiError): Response {
  return context.json(error.toJSON(), error.status, error.headers);
}

/** The client's own id where it is harmless to repeat, or a new one. */
function requestId(given: string | undefined): string {
  return given !== undefined && /^[\w-]{1,64}$/.test(given) ? given : crypto.randomUUID();
}
