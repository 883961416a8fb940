import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { BpeTrainer } from "./bpe-trainer.ts";
import { type CompressionRow, measureCompression } from "./compression.ts";
import { maxVocabularySize, minVocabularySize } from "./pattern.ts";
import { Tokenizer } from "./tokenizer.ts";

/** Options of `rookery tokenizer train`; the texts come from the caller, who reads files. */
export const trainTokenizerOptions = z.strictObject({
  vocabularySize: z
    .int()
    .min(minVocabularySize)
    .max(maxVocabularySize)
    .default(8192)
    .describe("tokens in total: 256 bytes, merges, and 21 special tokens"),
  minFrequency: z
    .int()
    .min(1)
    .default(2)
    .describe("pairs that occur less often are not merged, even if the vocabulary stays smaller"),
  out: z.string().min(1).describe("directory for tokenizer.json and tokenizer_config.json").meta({ valueName: "DIR" }),
});

export type TrainTokenizerOptions = z.output<typeof trainTokenizerOptions>;

export type TrainTokenizerResult = {
  format: "rookery-tokenizer-report/1";
  directory: string;
  vocabularySize: number;
  documents: number;
  characters: number;
  /** English, Chinese and code samples, the same for every tokenizer. */
  compression: CompressionRow[];
};

const documentsPerEvent = 1024;

/**
 * Trains a tokenizer on texts, one a document, and saves it. The texts are read once and not kept.
 * Throws as `BpeTrainer.train` and `Tokenizer.save`.
 */
export async function trainTokenizer(
  options: TrainTokenizerOptions,
  context: CommandContext & { texts: Iterable<string> | AsyncIterable<string> },
): Promise<TrainTokenizerResult> {
  const { texts, signal, onEvent } = context;
  const trainer = new BpeTrainer();
  let documents = 0;
  for await (const text of texts) {
    if (signal?.aborted) throw new RookeryError("INTERRUPTED", "counting the text was stopped", "run it again");
    trainer.add(text);
    documents++;
    if (documents % documentsPerEvent === 0) {
      onEvent?.({ type: "progress", what: "counting words", done: trainer.numCharacters, unit: "characters" });
    }
  }
  const { vocabularySize, minFrequency, out } = options;
  const vocabulary = trainer.train({ vocabularySize, minFrequency, signal, onEvent });
  const tokenizer = Tokenizer.fromTraining(vocabulary);
  await tokenizer.save(out);
  return {
    format: "rookery-tokenizer-report/1",
    directory: out,
    vocabularySize: tokenizer.vocabularySize,
    documents,
    characters: trainer.numCharacters,
    compression: await measureCompression(tokenizer),
  };
}

/** Options of `rookery tokenizer encode`. */
export const encodeOptions = z.strictObject({
  specials: z
    .boolean()
    .default(false)
    .describe("turn text that spells a special token, such as <|eos|>, into that token"),
});

export type EncodeOptions = z.output<typeof encodeOptions>;

/** Ids of one text, and what each of them stands for. */
export async function encodeWithTokenizer(
  options: EncodeOptions,
  context: { tokenizer: Tokenizer; text: string },
): Promise<{ format: "rookery-encoding/1"; ids: number[]; tokens: string[] }> {
  const { tokenizer, text } = context;
  const ids = await (options.specials ? tokenizer.encodeWithSpecials(text) : tokenizer.encodeText(text));
  const tokens = Array.from(ids, (id) => tokenizer.decode([id]));
  return { format: "rookery-encoding/1", ids: [...ids], tokens };
}

/** Options of `rookery tokenizer decode`. */
export const decodeOptions = z.strictObject({
  ids: z.array(z.int().min(0)).min(1).describe("token ids").meta({ valueName: "ID" }),
  skipSpecials: z.boolean().default(false).describe("leave special tokens out of the text"),
});

export type DecodeOptions = z.output<typeof decodeOptions>;

/** Text of ids. Throws `INVALID_OPTION` on an id outside the vocabulary. */
export function decodeWithTokenizer(
  options: DecodeOptions,
  context: { tokenizer: Tokenizer },
): { format: "rookery-decoding/1"; text: string } {
  const text = context.tokenizer.decode(options.ids, { skipSpecialTokens: options.skipSpecials });
  return { format: "rookery-decoding/1", text };
}
