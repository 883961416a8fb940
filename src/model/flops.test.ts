import assert from "node:assert/strict";
import { test } from "node:test";
import { tinyConfig } from "../../test/tiny-model.ts";
import { type KernelArguments, timeKernels } from "../kernels/bindings/declare.ts";
import type { RoutingMode } from "../kernels/bindings/moe.ts";
import { Execution } from "../tensor/execution.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { accumulateGradients } from "../train/step.ts";
import type { ModelConfig } from "./config.ts";
import { countFlops, type FlopPart, flopParts } from "./flops.ts";
import { describeParameters, elementCount } from "./parameters.ts";
import { presets } from "./presets.ts";
import type { Recomputation } from "./recomputation.ts";
import { Transformer } from "./transformer.ts";

type Step = { config: ModelConfig; rows: number; length: number; recomputation: Recomputation; mode: RoutingMode };

/** Rows of a grouped product that are multiplied: those up to the last offset. */
function rowsOf({ rows, offsets }: KernelArguments): number {
  return offsets ? (offsets as unknown as Tensor).toInt32Array().at(-1)! : (rows as number);
}

/** FLOPs of one call by the sizes that the kernel was given, as its formula in rookery.h reads. */
function flopsOf(kernel: string, args: KernelArguments): number {
  const number = (name: string) => args[name] as number;
  const pairs = () => {
    const sequences = (args.sequences as unknown as Tensor).toInt32Array();
    let sum = 0;
    for (let i = 0; i < sequences.length; i += 4) sum += (sequences[i + 1]! * (sequences[i + 1]! + 1)) / 2;
    return 2 * number("heads") * number("headDim") * sum;
  };
  switch (kernel) {
    case "rookery_matmul":
    case "rookery_matmul_packing":
      return 2 * rowsOf(args) * number("inner") * number("columns");
    case "rookery_weight_gradient":
      return 2 * rowsOf(args) * number("out") * number("in");
    case "rookery_attention_forward":
      return 2 * pairs();
    case "rookery_attention_backward":
      return 5 * pairs();
    case "rookery_router_forward":
      return 2 * number("tokens") * number("hidden") * number("experts");
    case "rookery_router_backward":
      return 4 * number("tokens") * number("hidden") * number("experts");
    default:
      return 0;
  }
}

/** Runs forward and backward of one batch, and sums up what its kernels were asked to do. */
function executedFlops({ config, rows, length, recomputation, mode }: Step): { flops: number; parameters: number } {
  using execution = new Execution({ computeType: "f32", threads: 1 });
  using model = new Transformer(config);
  model.initialize(3);
  const tokens = Int32Array.from({ length: rows * length }, (_, i) => (i * 37 + 11) % config.vocabularySize);
  const positions = tokens.map((_, i) => i % length);
  const sequences = Int32Array.from({ length: 2 * rows }, (_, i) => (i % 2 ? length : (i / 2) * length));
  const batch = { tokens, targets: tokens, positions, sequences };
  const routing = { mode, capacityFactor: 1.25, balanceCoefficient: 0.01, zCoefficient: 0 };
  let flops = 0;
  timeKernels((kernel, _milliseconds, args) => {
    flops += flopsOf(kernel, args);
  });
  try {
    accumulateGradients(execution, model, [batch], routing, { seed: 1, step: 1 }, recomputation);
  } finally {
    timeKernels(undefined);
  }
  const parameters = [...model.parameters.values()].reduce((sum, { weight }) => sum + weight.elements, 0);
  return { flops, parameters };
}

const base: Step = { config: tinyConfig, rows: 3, length: 61, recomputation: "none", mode: "dropless" };
const withConfig = (changes: Partial<ModelConfig>, more: Partial<Step> = {}): Step => ({
  ...base,
  config: { ...tinyConfig, ...changes },
  ...more,
});

const steps: Record<string, Step> = {
  "top-1, grouped heads, layers in pairs, tied": base,
  "top-2 of 5, an untied head, no sharing of layers": withConfig(
    { topK: 2, numExperts: 5, tieWordEmbeddings: false, claShareFactor: 1 },
    { rows: 2, length: 130 },
  ),
  "two shared experts, a group of three layers, recomputed": withConfig(
    { numSharedExperts: 2, claShareFactor: 3 },
    { recomputation: "block" },
  ),
  "no shared expert, multi-head attention, recycled": withConfig(
    { numSharedExperts: 0, numKeyValueHeads: 4 },
    { mode: "recycle" },
  ),
  dense: withConfig({ numExperts: 0, topK: 0, useQkNorm: false }, { rows: 1, length: 257 }),
  "the shape of nano": withConfig(
    { ...presets.nano, vocabularySize: 512, numHiddenLayers: 2 },
    { rows: 1, length: 128, recomputation: "block" },
  ),
};

for (const [name, step] of Object.entries(steps)) {
  test(`counted FLOPs are those of the kernels that a step calls: ${name}`, () => {
    const { config, rows, length, recomputation } = step;
    const counted = countFlops(config, { sequenceLength: length, recomputation }).executed * rows * length;
    const { flops, parameters } = executedFlops(step);
    assert.ok(Math.abs(flops / counted - 1) < 0.01, `${flops} executed, ${counted} counted`);
    assert.equal(
      parameters,
      describeParameters(config).reduce((sum, { shape }) => sum + elementCount(shape), 0),
    );
  });
}

test("parts add up, and each depends on what it is about", () => {
  const count = (changes: Partial<ModelConfig>, sequenceLength = 100) =>
    countFlops({ ...tinyConfig, ...changes }, { sequenceLength });
  const { parts, forward, backward, training } = count({});
  const sum = (list: readonly number[]) => list.reduce((total, one) => total + one, 0);
  assert.equal(sum(flopParts.map((part) => parts[part].forward)), forward);
  assert.equal(backward, 2 * forward);
  assert.equal(training, 3 * forward);
  const changed = (changes: Partial<ModelConfig>, sequenceLength?: number) => {
    const other = count(changes, sequenceLength).parts;
    return flopParts.filter((part) => other[part].forward !== parts[part].forward);
  };
  assert.deepEqual(changed({}, 200), ["attention"] satisfies FlopPart[]);
  assert.deepEqual(changed({ topK: 2 }), ["experts"] satisfies FlopPart[]);
  assert.deepEqual(changed({ numExperts: 8 }), ["router"] satisfies FlopPart[]);
  assert.deepEqual(changed({ numSharedExperts: 2 }), ["sharedExpert"] satisfies FlopPart[]);
  assert.deepEqual(changed({ claShareFactor: 1 }), ["projections"] satisfies FlopPart[]);
  assert.deepEqual(changed({ vocabularySize: 999 }), ["head"] satisfies FlopPart[]);
  assert.deepEqual(changed({ tieWordEmbeddings: false }), []);
});
