/**
 * `rookery eval cache-compression`: what a smaller KV cache costs, on trained models of about the same size that differ in how
 * they share keys and values, each with its cache as computed and in 8 bits: task by task, position by position.
 */
import { existsSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { parseOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { checkName, isPlainName, quoteForMessage } from "../base/files.ts";
import { rookeryVersion } from "../base/version.ts";
import { keyValueCacheTypes } from "../engine/request.ts";
import { readModelDirectory } from "../interop/model-directory.ts";
import { resolveModel } from "../interop/resolve.ts";
import { account } from "../model/accounting.ts";
import { compareItems, type Flip, type TaskComparison } from "./compare.ts";
import { evalRunOptionsSchema } from "./options.ts";
import { readItems } from "./results.ts";
import { evaluate } from "./run.ts";
import type { EvalSummary } from "./summary.ts";

const { tasks, texts, windowTokens, data, shots, limit, seed, name, resultsFolder, resume, maxModelLen } =
  evalRunOptionsSchema.shape;
const { computeType, threads, cacheBytes } = evalRunOptionsSchema.shape;

export const cacheCompressionOptionsSchema = z.strictObject({
  models: z
    .array(z.string().min(1))
    .min(1)
    .max(16)
    .describe("LABEL=MODEL, such as GQA+CLA=my-run; the first is what the others are compared with")
    .meta({ valueName: "LABEL=MODEL" }),
  caches: z
    .array(z.enum(keyValueCacheTypes))
    .min(1)
    .default([...keyValueCacheTypes])
    .describe("how each model's cache is kept"),
  worst: z.int().min(0).max(1000).default(10).describe("questions that are listed for each variant, the worst first"),
  ...{ tasks, texts, windowTokens, data, shots, limit, seed, maxModelLen, computeType, threads, cacheBytes },
  ...{ name: name.default("cache-compression"), resultsFolder, resume },
});
export type CacheCompressionOptionsInput = z.input<typeof cacheCompressionOptionsSchema>;
export type CacheCompressionOptions = z.output<typeof cacheCompressionOptionsSchema>;

export const cacheCompressionFormat = "rookery-cache-compression/1";

export type CacheVariant = {
  label: string;
  cacheType: string;
  totalParameters: number;
  activatedParameters: number;
  cacheBytesPerToken: number;
  /** Of what the first variant takes. */
  cacheShare: number;
  tasks: EvalSummary["tasks"];
  texts: EvalSummary["texts"];
  /** Against the first variant; empty for itself. */
  differences: TaskComparison[];
  /** By domain and position: how many bits a byte more than the first variant, the worst first. */
  positions: { domain: string; from: number; to: number; bitsPerByte: number; more: number }[];
  worst: (Flip & { task: string })[];
};

export type CacheCompression = {
  format: typeof cacheCompressionFormat;
  rookeryVersion: string;
  folder: string;
  variants: CacheVariant[];
  notes: string[];
};

/** Sizes further apart than this are told of: a larger model is better for other reasons. */
const evenSizes = 0.02;

/** @throws RookeryError as `evaluate`; INVALID_OPTION for a label that cannot be a name. */
export async function compareCaches(
  given: CacheCompressionOptionsInput,
  { runsFolder }: { runsFolder: string },
  context: CommandContext = {},
): Promise<CacheCompression> {
  const options = parseOptions(cacheCompressionOptionsSchema, given);
  checkName(options.name, "results");
  const folder = path.join(options.resultsFolder, options.name);
  const models = options.models.map((one) => modelOf(one, runsFolder));
  const variants: CacheVariant[] = [];
  let first: { items: Awaited<ReturnType<typeof readItems>>; variant: CacheVariant } | undefined;
  for (const { label, model, path: modelFolder } of models) {
    for (const cacheType of options.caches) {
      const named = `${label.replaceAll("+", "-")}-${cacheType}`;
      const run = evalRunOptionsSchema.parse({
        ...{ model, kvCacheDtype: cacheType, name: named, resultsFolder: folder },
        ...{ tasks: options.tasks, texts: options.texts, data: options.data, seed: options.seed },
        ...{ windowTokens: options.windowTokens, shots: options.shots, limit: options.limit },
        ...{ maxModelLen: options.maxModelLen, computeType: options.computeType, threads: options.threads },
        ...{ cacheBytes: options.cacheBytes },
        resume: options.resume && existsSync(path.join(folder, named, "state.db")),
      });
      context.onEvent?.({ type: "note", message: `${label}, cache ${cacheType}` });
      const summary = await evaluate(run, { runsFolder, apiKey: undefined, judgeApiKey: undefined }, context);
      const items = await readItems(summary.folder);
      const { parameters } = account(readModelDirectory(modelFolder).config);
      const cacheBytesPerToken = summary.model.cache?.bytesPerToken ?? 0;
      const variant: CacheVariant = {
        ...{ label, cacheType, cacheBytesPerToken },
        totalParameters: parameters.total,
        activatedParameters: parameters.activated,
        cacheShare: first ? cacheBytesPerToken / first.variant.cacheBytesPerToken : 1,
        tasks: summary.tasks,
        texts: summary.texts,
        ...{ differences: [], positions: [], worst: [] },
      };
      if (first) Object.assign(variant, against(first, { variant, items }, options));
      first ??= { items, variant };
      variants.push(variant);
    }
  }
  return { format: cacheCompressionFormat, rookeryVersion, folder, variants, notes: notesOf(variants) };
}

type Measured = { items: Awaited<ReturnType<typeof readItems>>; variant: CacheVariant };

function against(
  first: Measured,
  { items, variant }: Measured,
  { worst, seed }: CacheCompressionOptions,
): Pick<CacheVariant, "differences" | "positions" | "worst"> {
  const changed = variant.texts.find(({ domain, bytes }) => {
    return first.variant.texts.find((one) => one.domain === domain)?.bytes !== bytes;
  });
  if (changed) {
    throw new RookeryError(
      "BAD_DATA",
      `the text ${changed.domain} has changed while models were evaluated`,
      "begin anew under another --name, with files that nobody writes to",
    );
  }
  const names = { a: first.variant.label, b: variant.label };
  const comparison =
    items.length === 0
      ? undefined
      : compareItems(first.items, items, { ...names, confidence: 0.95, flips: worst, seed });
  const differences = comparison?.tasks ?? [];
  const before = new Map(
    first.variant.texts.flatMap(({ domain, positions }) =>
      positions.map(({ from, bitsPerByte }) => [`${domain}\n${from}`, bitsPerByte] as const),
    ),
  );
  const positions = variant.texts
    .flatMap(({ domain, positions: all }) =>
      all.map(({ from, to, bitsPerByte }) => {
        return { domain, from, to, bitsPerByte, more: bitsPerByte - (before.get(`${domain}\n${from}`) ?? bitsPerByte) };
      }),
    )
    .sort((x, y) => y.more - x.more);
  const lost = differences.flatMap(({ task, flips }) =>
    flips.filter(({ scoreA, scoreB }) => scoreB < scoreA).map((flip) => ({ task, ...flip })),
  );
  return { differences, positions, worst: lost.slice(0, worst) };
}

function modelOf(given: string, runsFolder: string): { label: string; model: string; path: string } {
  const named = /^([^=]+)=(.+)$/.exec(given);
  const model = named?.[2] ?? given;
  const label = named?.[1] ?? path.basename(given);
  if (!isPlainName(label.replaceAll("+", "-"))) {
    throw new RookeryError(
      "INVALID_OPTION",
      `${quoteForMessage(label)} cannot be a label`,
      "use letters, digits and +",
    );
  }
  const resolved = resolveModel(model, { runsFolder });
  if (resolved.kind !== "preset") return { label, model, path: resolved.path };
  throw new RookeryError("MODEL_NOT_FOUND", `${model} is a preset, which has no weights`, "give a run or a directory");
}

function notesOf(variants: readonly CacheVariant[]): string[] {
  const first = variants[0]!;
  return [...new Map(variants.map((one) => [one.label, one])).values()].flatMap(({ label, totalParameters }) => {
    const ratio = totalParameters / first.totalParameters;
    if (Math.abs(ratio - 1) <= evenSizes) return [];
    return [`${label} has ${((ratio - 1) * 100).toFixed(1)}% more parameters than ${first.label}: sizes differ, too`];
  });
}
