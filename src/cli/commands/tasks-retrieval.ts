import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { refuseExisting, refuseUnwritable, writeJsonLines } from "../../base/files.ts";
import { dataOptionsSchema } from "../../data/options.ts";
import { textsForTokenizer } from "../../data/prepare.ts";
import { retrievalDocuments, retrievalKinds, sentencesOf } from "../../tasks/retrieval.ts";
import { defineCommand } from "../command.ts";

const characters = z.int().min(1).max(10_000_000);

export const retrievalSchema = z
  .strictObject({
    out: z
      .string()
      .min(1)
      .describe("the file to write, a JSON object with a text a line")
      .meta({ valueName: "FILE.jsonl" }),
    count: z.int().min(1).max(10_000_000).default(20_000).describe("documents"),
    kinds: z
      .array(z.enum(retrievalKinds))
      .min(1)
      .default([...retrievalKinds])
      .describe(
        "what is to be found: words or a list of keys again, one number, values of keys in a text, or in nothing but lines",
      ),
    minCharacters: characters.default(50).describe("shortest text before its questions"),
    maxCharacters: characters.default(250).describe("longest text before its questions"),
    facts: z.int().min(1).max(10_000).default(3).describe("most keys that a text hides"),
    questions: z.int().min(1).max(10_000).default(4).describe("most questions about a text"),
    haystack: z
      .array(z.string().min(1))
      .min(1)
      .default(["starter"])
      .describe("texts between whose sentences the keys are hidden; what training would hold out is left out")
      .meta({ valueName: "PATH" }),
    seed: z
      .int()
      .min(0)
      .max(2 ** 31 - 1)
      .default(1)
      .describe("another seed gives other documents"),
    overwrite: z.boolean().default(false).describe("replace a file that is there"),
  })
  .refine(({ minCharacters, maxCharacters }) => minCharacters <= maxCharacters, {
    path: ["minCharacters"],
    message: "give at most --max-characters",
  });

/** As many sentences as the longest haystacks need to differ. */
const mostSentences = 200_000;

async function haystackSentences(paths: string[], context: CommandContext): Promise<string[]> {
  const sentences: string[] = [];
  for await (const text of textsForTokenizer(dataOptionsSchema.parse({ data: paths }), context)) {
    for (const sentence of sentencesOf(text)) sentences.push(sentence);
    if (sentences.length >= mostSentences) break;
  }
  if (sentences.length > 0) return sentences;
  throw new RookeryError(
    "BAD_DATA",
    `${paths.join(" ")} has no sentence of 20 to 200 characters`,
    "give texts of prose with --haystack",
  );
}

export const command = defineCommand({
  schema: retrievalSchema,
  positionals: ["out"],
  examples: [
    { line: "rookery tasks retrieval short.jsonl", purpose: "short texts with keys and questions, to train on" },
    {
      line: "rookery tasks retrieval long.jsonl --kinds key-value --kinds passkey --min-characters 1500 --max-characters 3000",
      purpose: "for a long-context stage",
    },
  ],
  run: writeRetrievalTexts,
  describe: ({ file, documents, sentences }) => [
    `${file}: ${documents} documents, hidden in ${sentences} sentences; keys of the test split are in none of them`,
  ],
});

/** Writes the file. @throws RookeryError BAD_DATA without a sentence to hide keys in, FILE_UNWRITABLE; and the signal's reason. */
export async function writeRetrievalTexts(
  { out, overwrite, haystack, ...options }: z.output<typeof retrievalSchema>,
  context: CommandContext,
): Promise<{ file: string; documents: number; sentences: number }> {
  if (!overwrite) refuseExisting([out]);
  refuseUnwritable([out]);
  const sentences = await haystackSentences(haystack, context);
  let documents = 0;
  writeJsonLines(out, retrievalDocuments({ ...options, sentences, split: "train" }), (text) => {
    context.signal?.throwIfAborted();
    documents++;
    return { text };
  });
  return { file: out, documents, sentences: sentences.length };
}
