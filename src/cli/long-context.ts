/** What the commands over long texts have in common. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { readTextFile } from "../base/files.ts";
import type { EvalModel } from "../eval/model.ts";
import { isUrl } from "../eval/open-model.ts";
import { promptModes } from "../eval/ruler/ask.ts";
import type { Prose } from "../eval/ruler/item.ts";
import { textProse } from "../eval/ruler/prose.ts";
import { effectiveThreshold } from "../eval/ruler/score.ts";
import { nameOfModel } from "../interop/folders.ts";

export const longContextOptions = {
  lengths: z
    .array(
      z
        .int()
        .min(64)
        .max(2 ** 24),
    )
    .min(1)
    .optional()
    .meta({ valueName: "TOKENS" }),
  common: {
    haystack: z
      .string()
      .min(1)
      .optional()
      .describe("a text file to hide needles in; by default sentences are made up")
      .meta({ valueName: "FILE" }),
    mode: z
      .enum(promptModes)
      .default("text")
      .describe("text: let the model write on, as pretrained ones do; chat: ask in its chat template"),
    seed: z
      .int()
      .min(0)
      .max(2 ** 31 - 1)
      .default(42)
      .describe("another seed gives other texts and needles"),
    concurrency: z
      .int()
      .min(1)
      .max(256)
      .default(1)
      .describe("prompts under way at once; 1 lets each find in the prefix cache what the one before has read"),
    threshold: z
      .number()
      .min(0)
      .max(100)
      .default(effectiveThreshold)
      .describe("a length counts as effective if its mean score is above this (RULER's: Llama-2-7B's at 4,096 tokens)"),
    out: z
      .string()
      .min(1)
      .optional()
      .describe("the folder for the answers and the page; what is there is gone on with")
      .meta({ valueName: "FOLDER" }),
  },
};

/** For titles and folders: the last part of a path, or a server's host. */
export function modelNameOf(model: string): string {
  if (isUrl(model)) return URL.canParse(model) ? new URL(model).host.replaceAll(":", "-") : "server";
  return nameOfModel(model);
}

/** What tells a model from others when work is gone on with: a server may be at another address by then. */
export function identityOf(option: string, { name }: Pick<EvalModel, "name">): string {
  return isUrl(option) ? name.slice(name.indexOf(" ") + 1) : modelNameOf(option);
}

/** Tells whether a file is the same again; "" for none. @throws as `readTextFile`. */
export function digestOfFile(file: string | undefined): string {
  if (file === undefined) return "";
  return createHash("sha256").update(readTextFile(file, largestFileBytes)).digest("hex");
}

const largestFileBytes = 512 * 2 ** 20;

/** A haystack of the user's own, and its digest. @throws as `readTextFile` and `textProse`. */
export function proseOf(file: string | undefined): { prose: Prose | undefined; digest: string | null } {
  if (file === undefined) return { prose: undefined, digest: null };
  const text = readTextFile(file);
  return { prose: textProse(text, file), digest: createHash("sha256").update(text).digest("hex") };
}
