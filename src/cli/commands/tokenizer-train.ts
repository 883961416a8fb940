import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { dataOptionsSchema } from "../../data/options.ts";
import { textsForTokenizer } from "../../data/prepare.ts";
import { BpeTrainer } from "../../text/bpe-trainer.ts";
import { type CompressionRow, measureCompression } from "../../text/compression.ts";
import { maxVocabularySize, minVocabularySize } from "../../text/pattern.ts";
import { Tokenizer } from "../../text/tokenizer.ts";
import { defineCommand } from "../command.ts";
import { shortNumber } from "../text.ts";

const schema = dataOptionsSchema.extend({
  out: z
    .string()
    .min(1)
    .describe("the folder for tokenizer.json and tokenizer_config.json")
    .meta({ valueName: "FOLDER" }),
  vocabularySize: z
    .int()
    .min(minVocabularySize)
    .max(maxVocabularySize)
    .default(8192)
    .describe("tokens in all: bytes, merges and special tokens"),
  minFrequency: z.int().min(1).default(1).describe("pairs of tokens that occur less often are not merged"),
  overwrite: z.boolean().default(false).describe("replace a tokenizer that is in the folder already"),
});

type TrainResult = {
  folder: string;
  vocabularySize: number;
  /** UTF-16 units that it was trained on. */
  characters: number;
  /** On a sample of the texts that it was trained on. */
  charactersPerToken: number;
  /** The same on fixed samples of English, Chinese and code. */
  compression: CompressionRow[];
};

const textsPerEvent = 64;

/** One text in ten is kept to measure on, up to this many characters in all. */
const sampleEvery = 10;
const sampleCharacters = 4_000_000;

export const command = defineCommand({
  schema,
  positionals: ["data"],
  examples: [
    { line: "rookery tokenizer train starter --out my-tokenizer", purpose: "8,192 tokens from the built-in texts" },
    {
      line: "rookery tokenizer train texts/ --vocabulary-size 32768 --out my-tokenizer --overwrite",
      purpose: "a larger one from a folder, in the place of an earlier one",
    },
  ],
  async run({ out, vocabularySize, minFrequency, overwrite, ...data }, context): Promise<TrainResult> {
    if (!overwrite && existsSync(join(out, "tokenizer.json"))) {
      throw new RookeryError(
        "FILE_UNWRITABLE",
        `${out} holds a tokenizer already`,
        "choose another folder, or add --overwrite",
      );
    }
    const trainer = new BpeTrainer();
    const sample = await addTexts(trainer, textsForTokenizer(data, context), context);
    const tokenizer = Tokenizer.fromTraining(trainer.train({ ...context, vocabularySize, minFrequency }));
    await tokenizer.save(out);
    const ids = await tokenizer.encodeBatch(sample);
    return {
      folder: out,
      vocabularySize: tokenizer.vocabularySize,
      characters: trainer.numCharacters,
      charactersPerToken: sum(sample) / Math.max(1, sum(ids)),
      compression: await measureCompression(tokenizer),
    };
  },
  describe: ({ folder, vocabularySize, characters, charactersPerToken, compression }) => [
    `${folder}: ${vocabularySize} tokens, trained on ${shortNumber(characters)} characters`,
    `characters a token: ${charactersPerToken.toFixed(2)} on these texts; ${compression
      .map((row) => `${row.charactersPerToken.toFixed(2)} on ${row.sample}`)
      .join(", ")} samples`,
    `try it: rookery tokenizer encode ${folder} "some text"`,
  ],
});

async function addTexts(
  trainer: BpeTrainer,
  texts: AsyncIterable<string>,
  { signal, onEvent }: CommandContext,
): Promise<string[]> {
  const sample: string[] = [];
  let characters = 0;
  let index = 0;
  for await (const text of texts) {
    signal?.throwIfAborted();
    trainer.add(text);
    if (index % textsPerEvent === 0) {
      onEvent?.({ type: "progress", what: "reading the texts", done: trainer.numCharacters, unit: "characters" });
    }
    if (index++ % sampleEvery === 0 && characters < sampleCharacters) {
      sample.push(text);
      characters += text.length;
    }
  }
  return sample;
}

function sum(parts: readonly { length: number }[]): number {
  return parts.reduce((total, part) => total + part.length, 0);
}
