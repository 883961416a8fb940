/** Keeps an engine going while it has work, and lets others run between its steps. */
import { setImmediate } from "node:timers/promises";
import { RookeryError } from "../base/errors.ts";
import { type Engine, type EngineOutput, failedOutput } from "./engine.ts";
import type { EngineRequest, EngineStats } from "./request.ts";

/** What is to be done: an answer, or an embedding of tokens. */
export type Work = { type: "generate"; request: EngineRequest } | { type: "embed"; tokens: Int32Array };

export class EngineLoop {
  readonly #engine: Engine;
  readonly #tell: (outputs: EngineOutput[]) => void;
  readonly #break: (error: unknown) => void;
  /** Numbers of whoever asks, and the engine's. */
  readonly #engineIds = new Map<number, number>();
  readonly #callerIds = new Map<number, number>();
  #isRunning = false;
  #isStopped = false;

  /**
   * @param tell gets what a step has to tell, under the caller's numbers.
   * @param onBreak hears of an error that leaves the engine of no more use.
   */
  constructor(engine: Engine, tell: (outputs: EngineOutput[]) => void, onBreak: (error: unknown) => void) {
    this.#engine = engine;
    this.#tell = tell;
    this.#break = onBreak;
  }

  /** Takes work in under a number of the caller's. What is wrong with it is told as an output. */
  start(id: number, work: Work): void {
    try {
      const { type } = work;
      const engineId = type === "generate" ? this.#engine.add(work.request) : this.#engine.addEmbedding(work.tokens);
      this.#engineIds.set(id, engineId);
      this.#callerIds.set(engineId, id);
    } catch (error) {
      if (!(error instanceof RookeryError)) throw error;
      this.#tell([failedOutput(id, error)]);
      return;
    }
    if (!this.#isRunning) void this.#run();
  }

  /** Work that has ended already is no fault. */
  cancel(id: number): void {
    const engineId = this.#engineIds.get(id);
    if (engineId === undefined) return;
    this.#engine.cancel(engineId);
    this.#forget(engineId);
  }

  stats(): EngineStats {
    return this.#engine.stats();
  }

  /** No step begins any more. */
  stop(): void {
    this.#isStopped = true;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    try {
      // what has come at the same time is read in the same step
      for (await setImmediate(); this.#engine.hasWork && !this.#isStopped; await setImmediate()) this.#step();
    } catch (error) {
      this.#isStopped = true;
      this.#break(error);
    }
    this.#isRunning = false;
  }

  #step(): void {
    const outputs = this.#engine.step();
    const told = outputs.map((output) => ({ ...output, id: this.#callerIds.get(output.id)! }));
    for (const { id } of outputs) if (!this.#engine.has(id)) this.#forget(id);
    if (told.length > 0) this.#tell(told);
  }

  #forget(engineId: number): void {
    const id = this.#callerIds.get(engineId);
    if (id === undefined) return;
    this.#callerIds.delete(engineId);
    this.#engineIds.delete(id);
  }
}
