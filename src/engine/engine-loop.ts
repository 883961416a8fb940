/** Keeps an engine going while it has work, and lets others run between its steps. */
import { setImmediate } from "node:timers/promises";
import { RookeryError } from "../base/errors.ts";
import { type Engine, type EngineOutput, failedOutput } from "./engine.ts";
import type { Grammars, GrammarText } from "./grammar.ts";
import type { EngineRequest, EngineStats, Grammar } from "./request.ts";

/** What is to be done: an answer, or an embedding of tokens. */
export type Work = { type: "generate"; request: EngineRequest } | { type: "embed"; tokens: Int32Array };

export class EngineLoop {
  readonly #engine: Engine;
  readonly #grammars: Grammars;
  /** Callers whose grammars are being compiled. */
  readonly #compiling = new Set<number>();
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
  constructor(
    engine: Engine,
    grammars: Grammars,
    tell: (outputs: EngineOutput[]) => void,
    onBreak: (error: unknown) => void,
  ) {
    this.#engine = engine;
    this.#grammars = grammars;
    this.#tell = tell;
    this.#break = onBreak;
  }

  /** Takes work in under a number of the caller's. What is wrong with it is told as an output. */
  start(id: number, work: Work): void {
    if (work.type === "embed") this.#enter(id, () => this.#engine.addEmbedding(work.tokens));
    else if (!work.request.grammar) this.#enter(id, () => this.#engine.add(work.request));
    else void this.#compile(id, work.request, work.request.grammar);
  }

  /** Work that has ended already is no fault. */
  cancel(id: number): void {
    this.#compiling.delete(id);
    const engineId = this.#engineIds.get(id);
    if (engineId === undefined) return;
    this.#engine.cancel(engineId);
    this.#forget(engineId);
  }

  /** Waits for the grammar, which each answer follows on its own; whoever is cancelled meanwhile does not come in. */
  async #compile(id: number, request: EngineRequest, grammar: Grammar): Promise<void> {
    using texts = new DisposableStack();
    const grammars: GrammarText[] = [];
    try {
      if (this.#compiling.size >= this.#engine.info.queueLimit) throw overloaded(this.#compiling.size);
      this.#compiling.add(id);
      this.#engine.check(request);
      for (let answer = 0; answer < request.count; answer++) {
        grammars.push(texts.use(await this.#grammars.open(grammar, request.stopTokenIds)));
      }
      if (!this.#compiling.has(id) || this.#isStopped) return;
      if (this.#enter(id, () => this.#engine.add(request, { grammars }))) texts.move();
    } catch (error) {
      this.#refuse(id, error);
    } finally {
      this.#compiling.delete(id);
    }
  }

  #enter(id: number, add: () => number): boolean {
    try {
      const engineId = add();
      this.#engineIds.set(id, engineId);
      this.#callerIds.set(engineId, id);
    } catch (error) {
      this.#refuse(id, error);
      return false;
    }
    if (!this.#isRunning) void this.#run();
    return true;
  }

  #refuse(id: number, error: unknown): void {
    if (error instanceof RookeryError) this.#tell([failedOutput(id, error)]);
    else this.#break(error);
  }

  stats(): EngineStats {
    return this.#engine.stats();
  }

  /** No step begins any more. */
  stop(): void {
    this.#isStopped = true;
    this.#grammars[Symbol.dispose]();
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

function overloaded(waiting: number): RookeryError {
  return new RookeryError("OVERLOADED", `${waiting} requests wait for their grammars already`, "try again later");
}
