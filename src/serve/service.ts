/** What every route works with: the engine, the model, the limits, and the requests that are under way. */
import type { Context } from "hono";
import type { RookeryEvent } from "../base/events.ts";
import type { EngineHandle } from "../engine/request.ts";
import { BodyBudget } from "./body.ts";
import { ApiError, overloaded, toApiError, unavailable } from "./errors.ts";
import type { Limits } from "./limits.ts";
import { Metrics } from "./metrics.ts";
import { PromptEncoder } from "./prompt-encoder.ts";
import type { ServedModel } from "./served-model.ts";
import { TokenViewer } from "./token-view.ts";

/** A request under way. */
export type Running = {
  /** Aborted when the client leaves, or when the server must end. */
  controller: AbortController;
  /** Nobody waits for the answer any more. */
  hasClientLeft: boolean;
  /** When it came, by `performance.now()`. */
  startMilliseconds: number;
  /** Which API key it came with. */
  tenant: string | undefined;
  /** Streams keep it open after the handler has answered. */
  isStream: boolean;
  /** The client has left: the work ends. */
  leave(): void;
  /** It is done: its client is listened to no more. */
  end(): void;
};

/** What Hono keeps for the time of a request. */
export type ServeEnvironment = { Variables: { running: Running; tenant: string | undefined; route: string } };

export type ServeContext = Context<ServeEnvironment>;

export class Service {
  readonly engine: EngineHandle;
  readonly model: ServedModel;
  readonly limits: Limits;
  readonly prompts: PromptEncoder;
  readonly tokens: TokenViewer;
  readonly bodies: BodyBudget;
  readonly metrics = new Metrics();
  readonly #onEvent: (event: RookeryEvent) => void;
  readonly #running = new Set<Running>();
  readonly #warned = new Set<string>();
  #isDraining = false;

  constructor(
    engine: EngineHandle,
    model: ServedModel,
    limits: Limits,
    onEvent: (event: RookeryEvent) => void = () => {},
  ) {
    this.engine = engine;
    this.model = model;
    this.limits = limits;
    this.prompts = new PromptEncoder(model.tokenizer, engine.info.maxModelLength);
    this.tokens = new TokenViewer(model.tokenizer);
    this.bodies = new BodyBudget(limits.bodyBytesInFlight);
    this.#onEvent = onEvent;
  }

  get inFlight(): number {
    return this.#running.size;
  }

  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** From now on new requests are refused with 503. */
  drain(): void {
    this.#isDraining = true;
  }

  /** Ends what is still under way. */
  abortAll(): void {
    for (const { controller } of this.#running) controller.abort(unavailable("the server is shutting down"));
  }

  /**
   * Opens a request that makes work.
   * @throws ApiError 429, 503
   */
  open(request: Request, tenant: string | undefined): Running {
    if (this.#isDraining) throw unavailable("the server is shutting down");
    const { requestsInFlight } = this.limits;
    if (this.#running.size >= requestsInFlight) {
      throw overloaded(`${requestsInFlight} requests are under way already; try again`);
    }
    const controller = new AbortController();
    const { signal } = request;
    const leave = () => {
      running.hasClientLeft = true;
      controller.abort(new DOMException("the client has left", "AbortError"));
    };
    const running: Running = {
      controller,
      hasClientLeft: false,
      startMilliseconds: performance.now(),
      tenant,
      isStream: false,
      leave,
      end: () => {
        signal.removeEventListener("abort", leave);
        if (this.#running.delete(running)) {
          this.metrics.requestLatency.observe((performance.now() - running.startMilliseconds) / 1000);
        }
      },
    };
    this.#running.add(running);
    signal.addEventListener("abort", leave, { once: true });
    if (signal.aborted) leave();
    return running;
  }

  /** @throws ApiError 404 when the client asks for another model than this one. */
  checkModel(name: string | undefined): void {
    if (name === undefined || name === this.model.id) return;
    const shown = name.length > 100 ? `${name.slice(0, 100)}…` : name;
    throw new ApiError(404, `the model ${JSON.stringify(shown)} is not here; this server has ${this.model.id}`, {
      param: "model",
      code: "model_not_found",
    });
  }

  /** Tells the operator once, however often clients give cause. */
  warnOnce(message: string): void {
    if (this.#warned.has(message)) return;
    this.#warned.add(message);
    this.#onEvent({ type: "warning", message: `${message} (said once)` });
  }

  /** Tells the operator of an error that is no client's doing. */
  reportFault(error: unknown): void {
    if (error === undefined || toApiError(error).status !== 500) return;
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#onEvent({ type: "warning", message: `a request failed: ${text}` });
  }
}
