/** The asking side of an engine: who waits for what, wherever the engine runs. */
import { RookeryError } from "../base/errors.ts";
import type { EngineOutput } from "./engine.ts";
import type { Work } from "./engine-loop.ts";
import type { EngineEvent, EngineHandle, EngineInfo, EngineRequest, EngineStats } from "./request.ts";

/** How work gets to an engine. */
export type EnginePort = {
  start(id: number, work: Work): void;
  cancel(id: number): void;
  stats(): Promise<EngineStats>;
  close(): Promise<void>;
};

export class EngineClient implements EngineHandle {
  readonly info: EngineInfo;
  readonly #port: EnginePort;
  readonly #streams = new Map<number, OutputStream>();
  #nextId = 1;
  #broken: unknown;

  constructor(info: EngineInfo, port: EnginePort) {
    this.info = info;
    this.#port = port;
  }

  async *generate(request: EngineRequest, signal?: AbortSignal): AsyncGenerator<EngineEvent, void> {
    let unfinished = request.count;
    for await (const output of this.#outputs({ type: "generate", request }, signal)) {
      if (output.type !== "event") throw new Error("an embedding came for a text");
      if (output.event.type === "finished") unfinished--;
      yield output.event;
      if (unfinished === 0) return;
    }
  }

  async embed(tokens: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    for await (const output of this.#outputs({ type: "embed", tokens }, signal)) {
      if (output.type === "embedding") return output.embedding;
    }
    throw new Error("the engine has told of no embedding");
  }

  async stats(): Promise<EngineStats> {
    if (this.#broken !== undefined) throw this.#broken;
    return await this.#port.stats();
  }

  async close(): Promise<void> {
    this.fail(new RookeryError("ENGINE_STOPPED", "the engine has been closed", "start another"));
    await this.#port.close();
  }

  /** Outputs of a step go to who waits for them. Some may come for what nobody waits for any more. */
  deliver(outputs: readonly EngineOutput[]): void {
    for (const output of outputs) this.#streams.get(output.id)?.push(output);
  }

  /** Nothing more will come: who waits, or asks from now on, gets this error. */
  fail(error: unknown): void {
    this.#broken ??= error;
    for (const stream of this.#streams.values()) stream.fail(error);
  }

  /** Who stops listening, or raises `signal`, cancels the work. */
  async *#outputs(work: Work, signal: AbortSignal | undefined): AsyncGenerator<EngineOutput, void> {
    signal?.throwIfAborted();
    if (this.#broken !== undefined) throw this.#broken;
    const id = this.#nextId++;
    const stream = new OutputStream();
    this.#streams.set(id, stream);
    const abort = () => {
      this.#port.cancel(id);
      stream.fail(signal?.reason);
    };
    signal?.addEventListener("abort", abort);
    try {
      this.#port.start(id, work);
      for (;;) {
        const output = await stream.next();
        if (output.type === "failed") throw new RookeryError(output.code, output.message, output.hint);
        yield output;
      }
    } finally {
      signal?.removeEventListener("abort", abort);
      this.#streams.delete(id);
      if (this.#broken === undefined) this.#port.cancel(id);
    }
  }
}

/** Outputs in the order in which they came, for one that waits. */
class OutputStream {
  readonly #outputs: EngineOutput[] = [];
  #failure: { error: unknown } | undefined;
  #wake: (() => void) | undefined;

  push(output: EngineOutput): void {
    this.#outputs.push(output);
    this.#wake?.();
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake?.();
  }

  /** @throws what `fail` was given, at once. */
  async next(): Promise<EngineOutput> {
    for (;;) {
      if (this.#failure) throw this.#failure.error;
      const output = this.#outputs.shift();
      if (output) return output;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
