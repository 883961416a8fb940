/** Ours in `rookery bench llama`: the engine that `rookery serve` runs, asked for texts whose tokens do not matter. */
import { Engine } from "../../engine/engine.ts";
import { engineOptionsSchema, settleOptions } from "../../engine/options.ts";
import type { EngineRequest } from "../../engine/request.ts";
import { loadModel } from "../../interop/load.ts";
import type { Transformer } from "../../model/transformer.ts";
import { Execution } from "../../tensor/execution.ts";
import type { GenerateWork } from "../protocol.ts";
import { digestOf, type Seconds, type Workload } from "./workload.ts";

/** What each of many streams reads before it writes. */
const shortPromptTokens = 32;

export class GenerateWorkload implements Workload {
  readonly parameters: number;
  readonly #work: GenerateWork;
  readonly #execution: Execution;
  readonly #model: Transformer;
  readonly #engine: Engine;
  /** Each timing reads prompts of its own, so that no prefix is found again. */
  #salt = 0;
  readonly #written: number[] = [];

  private constructor(work: GenerateWork, execution: Execution, model: Transformer, engine: Engine) {
    this.#work = work;
    this.#execution = execution;
    this.#model = model;
    this.#engine = engine;
    this.parameters = [...model.parameters.values()].reduce((sum, { weight }) => sum + weight.elements, 0);
  }

  static async open(work: GenerateWork, threads: number): Promise<GenerateWorkload> {
    const { computeType, directory, promptTokens, answerTokens, streams } = work;
    const execution = new Execution({ threads, computeType });
    const { model, tokenizer } = await loadModel(directory, {}, { pool: execution.pool, computeType });
    const maxModelLength = Math.max(promptTokens, shortPromptTokens) + answerTokens + 1;
    const options = engineOptionsSchema.parse({ computeType, maxModelLength, maxBatch: Math.max(1, streams) });
    const engine = new Engine({ execution, model, tokenizer }, settleOptions(options, model.config));
    return new GenerateWorkload(work, execution, model, engine);
  }

  time(repetitions: number): Seconds {
    const seconds: Seconds = {};
    const add = (part: string, more: number) => {
      seconds[part] = (seconds[part] ?? 0) + more;
    };
    const { loads, promptTokens, streams } = this.#work;
    for (let i = 0; i < repetitions; i++) {
      if (loads.includes("one")) {
        const { readMs, writtenMs } = this.#write(1, promptTokens);
        add("prefill", readMs / 1000);
        add("decode", writtenMs / 1000);
      }
      if (loads.includes("many")) add("streams", this.#write(streams, shortPromptTokens).writtenMs / 1000);
    }
    return seconds;
  }

  digest(): string {
    return digestOf([new Uint8Array(Int32Array.from(this.#written).buffer)]);
  }

  [Symbol.dispose](): void {
    this.#engine[Symbol.dispose]();
    this.#execution[Symbol.dispose]();
    this.#model[Symbol.dispose]();
  }

  /**
   * `streams` texts at once. @returns how long it took until each had its first token, and from there until each had `answerTokens`
   * more.
   */
  #write(streams: number, promptTokens: number): { readMs: number; writtenMs: number } {
    const { answerTokens } = this.#work;
    const startMs = performance.now();
    for (let stream = 0; stream < streams; stream++) this.#engine.add(this.#request(promptTokens));
    let begun = 0;
    let readMs = 0;
    while (this.#engine.hasWork) {
      for (const output of this.#engine.step()) {
        if (output.type === "failed") throw new Error(output.message);
        if (output.type !== "event") continue;
        if (output.event.type === "prompt") begun++;
        if (output.event.type === "token") this.#written.push(output.event.token);
      }
      if (readMs === 0 && begun === streams) readMs = performance.now() - startMs;
    }
    const writtenMs = performance.now() - startMs - readMs;
    if (this.#written.length < streams * (answerTokens + 1)) throw new Error("the engine wrote too few tokens");
    return { readMs, writtenMs };
  }

  #request(promptTokens: number): EngineRequest {
    const { vocabulary, answerTokens } = this.#work;
    const salt = this.#salt++;
    return {
      prompt: Int32Array.from({ length: promptTokens }, (_, at) => (at * 7919 + salt * 104_729) % vocabulary),
      count: 1,
      maxTokens: answerTokens + 1,
      sampling: { temperature: 0 },
      seed: 1,
      stopTokenIds: [],
      stopStrings: [],
      cacheSalt: String(salt),
    };
  }
}
