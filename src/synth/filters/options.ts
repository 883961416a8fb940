/** What a user can say about the filters: the key `filters` of a synthesis configuration. */
import { z } from "zod";

const share = z.number().min(0).max(1);

export const filterOptionsSchema = z.strictObject({
  minAgreement: share
    .max(0.99)
    .default(0.5)
    .describe("where an answer is objective, more than this share of the usable samples, and at least two, must agree"),
  keepTier: z.int().min(2).max(4).default(3).describe("lowest of the critic's tiers (1 to 4) that is kept"),
  rejectTier: z
    .int()
    .min(0)
    .max(3)
    .default(1)
    .describe("highest tier that is rejected; what lies between goes to the review queue"),
  nearDuplicateSimilarity: share
    .min(0.3)
    .default(0.6)
    .describe("share of common pairs of words (Jaccard) from which two instructions are the same; 1: exact ones alone"),
  evaluationSets: z
    .array(z.strictObject({ name: z.string().min(1), path: z.string().min(1) }))
    .default([])
    .describe("evaluation sets that nothing kept may overlap with: files, folders or patterns of JSON records"),
  contaminationShare: share
    .min(0.3)
    .default(0.45)
    .describe("share of an evaluation item's word sequences from which a record is taken to hold it"),
  codeTimeoutMs: z.int().min(100).max(600_000).default(5000).describe("time that a generated program may take"),
  codeMemoryMegabytes: z.int().min(32).max(65_536).default(256).describe("memory that a generated program may take"),
  allowUncontainedCode: z
    .boolean()
    .default(false)
    .describe("run generated programs even where they cannot be cut off from network and files"),
});

/** What the filters over the whole set go by; all else is for a record by itself. */
export const setFilterKeys = [
  "nearDuplicateSimilarity",
  "evaluationSets",
  "contaminationShare",
] as const satisfies readonly (keyof SynthFilterOptions)[];

export type SynthFilterOptions = z.output<typeof filterOptionsSchema>;
