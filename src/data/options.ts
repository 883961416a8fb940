/** What a user can say about training data; the schema is the flags, the configuration file and the type at once. */
import { z } from "zod";
import { readableFiles } from "./problems.ts";

const share = z.number().min(0).max(1);

const sourceSchema = z.strictObject({
  path: z
    .string()
    .min(1)
    .describe(`a file (${readableFiles}), a folder, a glob, or "starter"`)
    .meta({ valueName: "PATH" }),
  name: z.string().min(1).max(100).optional().describe("what reports and mixtures call it; by default from its path"),
  weight: z
    .number()
    .min(0)
    .optional()
    .describe("its part of the training tokens, relative to the other sources; without weights, by size"),
  annealingWeight: z
    .number()
    .min(0)
    .optional()
    .describe("the same for the annealing at the end of a run: more of the best data; by default the weight"),
  textField: z.string().min(1).optional().describe("the field or column of its records that holds the text"),
  license: z.string().min(1).optional().describe("its licence, for the model card"),
});

const filterSchema = z.strictObject({
  minCharacters: z.int().min(1).default(16).describe("shorter documents are dropped"),
  maxCharacters: z.int().min(1).default(10_000_000).describe("longer documents are dropped"),
  maxLineCharacters: z.int().min(1).default(100_000).describe("a document with a longer line is dropped"),
  maxWordCharacters: z
    .int()
    .min(1)
    .default(1000)
    .describe("a document with a longer run of ASCII without a space (encoded bytes, minified code) is dropped"),
  maxGarbledShare: share
    .default(0.01)
    .describe("a document with a larger share of control and replacement characters is dropped"),
  maxRepeatedShare: share
    .default(0.8)
    .describe("a document in which a larger share of all stretches of 12 characters repeats earlier ones is dropped"),
});

export const dataOptionsSchema = z.strictObject({
  data: z
    .array(z.union([z.string().min(1), sourceSchema]))
    .min(1)
    .max(256, "are more than 256 sources: give a folder, or a glob in quotes")
    .default(["starter"])
    .describe(`files (${readableFiles}), folders, globs, or "starter"`)
    .meta({ valueName: "PATH" }),
  textField: z
    .string()
    .min(1)
    .optional()
    .describe(
      "the field of JSON records, or the column of a table, that holds the text; by default the first of text, content, body and the like",
    )
    .meta({ valueName: "FIELD" }),
  strict: z.boolean().default(false).describe("stop at the first file, line or record that cannot be used"),
  maxDocumentCharacters: z
    .int()
    .min(256)
    .max(2 ** 24)
    .default(16_384)
    .describe("longer plain texts are cut into documents of at most this size, where a paragraph or a sentence ends"),
  heldOutShare: share
    .max(0.5)
    .default(0.01)
    .describe("share of the documents, chosen by their hash, that is never trained on but measured on"),
  deduplicate: z.boolean().default(true).describe("drop documents whose text has come before"),
  filters: filterSchema.prefault({}).describe("rules by which documents are dropped"),
});

/** As written by a user: only what differs from the defaults. */
export type DataOptionsInput = z.input<typeof dataOptionsSchema>;
/** As resolved, every default filled in. */
export type DataOptions = z.output<typeof dataOptionsSchema>;
export type SourceOptions = z.output<typeof sourceSchema>;
export type FilterOptions = z.output<typeof filterSchema>;
