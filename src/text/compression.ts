import type { Tokenizer } from "./tokenizer.ts";

/** How densely a tokenizer packs one kind of text. */
export type CompressionRow = {
  sample: string;
  characters: number;
  bytes: number;
  tokens: number;
  charactersPerToken: number;
  bytesPerToken: number;
};

/**
 * Short samples of the three kinds of text that a report of compression names. They are for comparing tokenizers with
 * each other: text like the training data packs better.
 */
export const compressionSamples: Readonly<Record<string, string>> = {
  english:
    "The lighthouse stood at the end of a long spit of sand, and in bad weather the only way to reach it was by boat. " +
    "Every evening the keeper climbed two hundred and twelve steps, trimmed the lamp, and wrote down what he had seen " +
    "that day: the ships that passed, the direction of the wind, the birds that had come in from the north. He didn't " +
    "think that anyone would read it. But forty years later those pages told scientists how the climate had changed.",
  chinese:
    "灯塔立在一条长长的沙洲尽头，天气不好的时候，只有坐船才能到达。每天傍晚，守塔人都要爬上二百一十二级台阶，" +
    "把灯点亮，然后记下当天看到的一切：经过的船只、风的方向，还有从北方飞来的鸟。他从来没有想过会有人读这些文字。" +
    "可是四十年以后，科学家正是靠着这些记录，才知道这里的气候发生了怎样的变化。",
  code:
    "export function movingAverage(values: readonly number[], windowSize: number): number[] {\n" +
    "  const averages: number[] = [];\n  let sum = 0;\n" +
    "  for (let index = 0; index < values.length; index++) {\n    sum += values[index]!;\n" +
    "    if (index >= windowSize) sum -= values[index - windowSize]!;\n" +
    "    averages.push(sum / Math.min(index + 1, windowSize));\n  }\n  return averages;\n}\n",
};

/** Characters (code points) and UTF-8 bytes a token of each sample, after normalisation; control tokens play no part. */
export async function measureCompression(
  tokenizer: Tokenizer,
  samples: Readonly<Record<string, string>> = compressionSamples,
): Promise<CompressionRow[]> {
  const encoded = await tokenizer.encodeBatch(Object.values(samples));
  return Object.keys(samples).map((sample, index) => {
    const ids = encoded[index]!;
    const text = tokenizer.decode(ids);
    const characters = [...text].length;
    const bytes = Buffer.byteLength(text);
    const tokens = ids.length;
    // A sample without text has no density; 0 says so without a value that JSON cannot hold.
    const perToken = (amount: number): number => (tokens === 0 ? 0 : amount / tokens);
    return {
      sample,
      characters,
      bytes,
      tokens,
      charactersPerToken: perToken(characters),
      bytesPerToken: perToken(bytes),
    };
  });
}
