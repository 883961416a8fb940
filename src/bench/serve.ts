/** `rookery bench serve`: what users of a model wait for and what a token costs, by how many there are at once. */
import { availableParallelism, cpus, totalmem } from "node:os";
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { type EngineOptionsInput, engineOptionsSchema } from "../engine/options.ts";
import { readModelDirectory } from "../interop/model-directory.ts";
import { resolveModel } from "../interop/resolve.ts";
import { checkModelConfig, type ModelConfig } from "../model/config.ts";
import { presets } from "../model/presets.ts";
import type { BenchContext } from "./options.ts";
import {
  figuresOf,
  type LoadFigures,
  type LoadSamples,
  type LoadShape,
  type Mix,
  mixes,
  runLoad,
} from "./serve-load.ts";
import { type LoadTarget, modelTarget, randomTarget, serverTarget } from "./serve-target.ts";

const tokens = z
  .int()
  .min(1)
  .max(2 ** 20);

export const benchServeSchema = z.strictObject({
  model: z
    .string()
    .min(1)
    .describe("a preset (with random weights), a run, a model directory, or the address of a server")
    .meta({ valueName: "MODEL", examples: Object.keys(presets) }),
  runsFolder: z
    .string()
    .min(1)
    .default("runs")
    .describe("the folder that holds the runs")
    .meta({ valueName: "FOLDER" }),
  concurrency: z
    .array(z.int().min(1).max(1024))
    .min(1)
    .default([1, 4, 16, 64])
    .describe("how many clients ask at once")
    .meta({ valueName: "N" }),
  promptTokens: tokens.default(256).describe("tokens of a prompt").meta({ valueName: "N" }),
  outputTokens: tokens.default(64).describe("tokens of an answer").meta({ valueName: "N" }),
  sharedTokens: tokens
    .optional()
    .describe("tokens that all prompts of the shared mix begin with; by default three quarters of a prompt")
    .meta({ valueName: "N" }),
  mixes: z
    .array(z.enum(mixes))
    .min(1)
    .default([...mixes])
    .describe("prompts that have nothing in common, and prompts that begin alike")
    .meta({ valueName: "MIX" }),
  rounds: z
    .int()
    .min(1)
    .max(1000)
    .default(3)
    .describe(
      "how often each load is put on; variants take turns, so that what else the machine does meets all of them",
    )
    .meta({ valueName: "N" }),
  variants: z
    .boolean()
    .default(false)
    .describe("compare attention variants (MHA, GQA, GQA+CLA) of the model's size, on random weights"),
  pricePerHour: z
    .number()
    .positive()
    .optional()
    .describe("what the machine costs an hour, to tell what a million tokens cost")
    .meta({ valueName: "PRICE" }),
  kvCacheDtype: engineOptionsSchema.shape.keyValueCacheType.meta({ valueName: "TYPE" }),
  computeType: engineOptionsSchema.shape.computeType,
  threads: engineOptionsSchema.shape.threads.meta({ valueName: "N" }),
});

export type BenchServeOptions = z.output<typeof benchServeSchema>;

export type ServePoint = LoadFigures & {
  target: string;
  mix: Mix;
  concurrency: number;
  requests: number;
  /** Of the weights; null where a server does not tell. */
  parameters: number | null;
  /** Room that a token takes in the cache: one copy a layer group. */
  cacheBytesPerToken: number | null;
  /** What a step of decoding reads of the cache when all clients are half through their answers: every layer reads its group's copy. */
  cacheBytesReadPerStep: number | null;
  costPerMillionTokens: number | null;
};

export type BenchServeResult = {
  bench: "serve";
  machine: string;
  threads: number;
  computeType: string;
  kvCacheDtype: string;
  promptTokens: number;
  outputTokens: number;
  sharedTokens: number;
  rounds: number;
  pricePerHour: number | null;
  points: ServePoint[];
};

/**
 * Puts every load on every target; targets take turns.
 * @throws RookeryError what loading a model or asking a server throws, INVALID_OPTION; the signal's reason.
 */
export async function benchServe(
  options: BenchServeOptions,
  { signal, onEvent, environment }: BenchContext<ServePoint>,
): Promise<BenchServeResult> {
  const threads = options.threads ?? availableParallelism();
  const sharedTokens = options.sharedTokens ?? Math.floor((3 * options.promptTokens) / 4);
  if (sharedTokens > options.promptTokens) {
    throw new RookeryError("INVALID_OPTION", `--shared-tokens ${sharedTokens} is more than a prompt has`, "lower it");
  }
  await using resources = new AsyncDisposableStack();
  const targets: LoadTarget[] = [];
  for (const open of targetsOf(options, threads, environment.ROOKERY_API_KEY)) {
    targets.push(resources.use(await open()));
  }
  const mostClients = Math.max(...options.concurrency);
  for (const target of targets) {
    onEvent?.({ type: "note", message: `${target.name}: a first load, which is not measured` });
    await runLoad(target, { ...shapeOf(options, mostClients, 0, 0), outputTokens: 2 }, signal);
  }
  const points: ServePoint[] = [];
  let number = 1;
  for (const mix of new Set(options.mixes)) {
    for (const concurrency of new Set(options.concurrency)) {
      const shared = mix === "separate" ? 0 : sharedTokens;
      const rounds: LoadSamples[][] = targets.map(() => []);
      for (let round = 0; round < options.rounds; round++) {
        const shape = shapeOf(options, concurrency, shared, number++);
        for (const [at, target] of targets.entries()) rounds[at]!.push(await runLoad(target, shape, signal));
      }
      for (const [at, target] of targets.entries()) {
        const shape = shapeOf(options, concurrency, shared, 0);
        const point = pointOf(target, mix, shape, figuresOf(rounds[at]!), options);
        points.push(point);
        onEvent?.({ type: "measured", row: point });
      }
    }
  }
  return {
    bench: "serve",
    machine: `${cpus()[0]?.model.trim() ?? "unknown CPU"}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    threads,
    computeType: options.computeType,
    kvCacheDtype: options.kvCacheDtype,
    promptTokens: options.promptTokens,
    outputTokens: options.outputTokens,
    sharedTokens,
    rounds: options.rounds,
    pricePerHour: options.pricePerHour ?? null,
    points,
  };
}

/** One request a client. */
function shapeOf(
  { promptTokens, outputTokens }: BenchServeOptions,
  concurrency: number,
  sharedTokens: number,
  number: number,
): LoadShape {
  return { concurrency, requests: concurrency, promptTokens, outputTokens, sharedTokens, number };
}

function pointOf(
  { name, inside }: LoadTarget,
  mix: Mix,
  { concurrency, promptTokens, outputTokens }: LoadShape,
  figures: LoadFigures,
  { pricePerHour, rounds }: BenchServeOptions,
): ServePoint {
  const costPerMillionTokens =
    pricePerHour === undefined ? null : (pricePerHour * 1e6) / (3600 * figures.tokensPerSecond.median);
  const known = inside && {
    parameters: inside.parameters,
    cacheBytesPerToken: inside.info.keyValueBytesPerToken,
    cacheBytesReadPerStep:
      concurrency *
      (promptTokens + outputTokens / 2) *
      bytesReadPerToken(inside.info.keyValueBytesPerToken, inside.config),
  };
  const unknown = { parameters: null, cacheBytesPerToken: null, cacheBytesReadPerStep: null };
  const requests = rounds * concurrency;
  return { target: name, mix, concurrency, requests, ...(known ?? unknown), ...figures, costPerMillionTokens };
}

/** CLA saves room and no reads: each layer of a group reads the group's one copy. */
function bytesReadPerToken(cacheBytesPerToken: number, { numHiddenLayers, claShareFactor }: ModelConfig): number {
  return (cacheBytesPerToken * numHiddenLayers) / Math.ceil(numHiddenLayers / claShareFactor);
}

function targetsOf(
  options: BenchServeOptions,
  threads: number,
  apiKey: string | undefined,
): (() => LoadTarget | Promise<LoadTarget>)[] {
  const { model, computeType, variants } = options;
  if (/^https?:\/\//.test(model)) {
    if (!variants) return [() => serverTarget(model, apiKey)];
    throw new RookeryError("INVALID_OPTION", "--variants needs a model, not a server", "give a preset or a directory");
  }
  const resolved = resolveModel(model, { runsFolder: options.runsFolder });
  const setup = { threads, computeType, engine: engineOptions(options) };
  if (!variants && resolved.kind !== "preset") return [() => modelTarget(model, resolved.path, setup)];
  const config = resolved.kind === "preset" ? presets[resolved.name] : readModelDirectory(resolved.path).config;
  if (!variants) return [() => randomTarget(`${model} (random weights)`, config, setup)];
  return attentionVariants(config).map(
    ([name, variant]) =>
      () =>
        randomTarget(name, variant, setup),
  );
}

function engineOptions(options: BenchServeOptions): EngineOptionsInput {
  return {
    maxModelLength: options.promptTokens + options.outputTokens,
    maxBatch: Math.max(...options.concurrency),
    keyValueCacheType: options.kvCacheDtype,
    queueLimit: 1024,
  };
}

/** The same model with a KV head a query head, with fewer KV heads, and with layers that share them besides. */
export function attentionVariants(config: ModelConfig): [name: string, config: ModelConfig][] {
  const { numAttentionHeads, numKeyValueHeads, claShareFactor } = config;
  const fewer = numKeyValueHeads < numAttentionHeads ? numKeyValueHeads : 1;
  const variants: [string, Partial<ModelConfig>][] = [
    ["MHA", { numKeyValueHeads: numAttentionHeads, claShareFactor: 1 }],
    ["GQA", { numKeyValueHeads: fewer, claShareFactor: 1 }],
    ["GQA+CLA", { numKeyValueHeads: fewer, claShareFactor: Math.max(2, claShareFactor) }],
  ];
  return variants.map(([name, change]) => [name, checkModelConfig({ ...config, ...change })]);
}
