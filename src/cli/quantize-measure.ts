/** Measures a model as it is served: bits per byte of a text, the rate of one stream, and greedy continuations. */
import path from "node:path";
import type { CommandContext } from "../base/events.ts";
import { Generation } from "../engine/generate.ts";
import { loadModel } from "../interop/load.ts";
import type { Agreement, Measured } from "../quant/release-report.ts";
import { textBitsPerByte, windowsOf } from "../quant/text-pass.ts";
import { Execution } from "../tensor/execution.ts";

type Measurement = Omit<Measured, "fileBytes"> & { continuations: number[][] };

export type MeasureOptions = {
  threads: number;
  /** Held-out text, if there is any. */
  text: string | undefined;
  mostTokens: number;
};

const windowTokens = 512;
const promptTokens = 32;
const continuedTokens = 64;
const prompts = 8;

/** Throws what `loadModel` throws, and the signal's reason. */
export async function measureModel(
  folder: string,
  { threads, text, mostTokens }: MeasureOptions,
  context: CommandContext,
): Promise<Measurement> {
  using execution = new Execution({ threads, computeType: "bf16" });
  const loaded = await loadModel(folder, context, { pool: execution.pool, computeType: "bf16" });
  using model = loaded.model;
  const { tokenizer } = loaded;
  const name = path.basename(folder);
  const longest = Math.min(windowTokens, model.config.maxPositionEmbeddings);
  const windowed =
    text === undefined ? undefined : await windowsOf(tokenizer, text, { windowTokens: longest, mostTokens });
  const bitsPerByte = windowed ? await textBitsPerByte(execution, model, windowed, `measuring ${name}`, context) : null;
  const continuations: number[][] = [];
  let [tokens, seconds] = [0, 0];
  for (let index = 0; index < prompts; index++) {
    context.signal?.throwIfAborted();
    // beginnings of windows of the text, or tokens that stand for one
    const window = windowed?.windows[Math.floor((index * windowed.windows.length) / prompts)];
    const prompt = window
      ? window.tokens.subarray(0, promptTokens)
      : Int32Array.from(
          { length: promptTokens },
          (_, i) => (index * 131 + i * 37) % Math.min(tokenizer.vocabularySize, 256),
        );
    const settings = { temperature: 0, maxTokens: continuedTokens, stopTokenIds: [], seed: 0 };
    using generation = new Generation({ execution, model, tokenizer }, prompt, settings);
    let startMs = 0;
    while (generation.step().type !== "finished") {
      // the first token comes with the prompt
      if (generation.answer.length === 1) startMs = performance.now();
    }
    seconds += (performance.now() - startMs) / 1000;
    tokens += generation.answer.length - 1;
    continuations.push(generation.answer);
    context.onEvent?.({
      type: "progress",
      what: `continuing with ${name}`,
      done: index + 1,
      total: prompts,
      unit: "texts",
    });
  }
  return { bitsPerByte, decodeTokensPerSecond: tokens / seconds, continuations };
}

/** How far two models' continuations are the same. */
export function agreementOf(before: readonly number[][], after: readonly number[][]): Agreement {
  let [identical, shared] = [0, 0];
  for (const [index, expected] of before.entries()) {
    const differs = expected.findIndex((token, position) => after[index]?.[position] !== token);
    if (differs < 0) identical += 1;
    shared += (differs < 0 ? expected.length : differs) / expected.length;
  }
  const tokensEach = before[0]?.length ?? 0;
  return { prompts: before.length, tokensEach, identical, meanSharedPrefix: shared / before.length };
}
