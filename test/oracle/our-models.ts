/** Tiny models that other implementations were shown, the same whoever makes them: a seed decides settings and weights. */
import fs from "node:fs";
import path from "node:path";
import { shuffled, streamKeys } from "../../src/base/random.ts";
import { writeModelDirectory } from "../../src/interop/model-directory.ts";
import { PackedAttention } from "../../src/model/attention.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { presets } from "../../src/model/presets.ts";
import { dropless } from "../../src/model/router.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { Execution } from "../../src/tensor/execution.ts";
import { linear } from "../../src/tensor/ops/linear.ts";

const modelsOfAKind = 6;

/** Settings by name: `moe-0` … and `dense-0` …, all of `hunyuan_v1_moe` or `hunyuan_v1_dense`. */
export function configsForTransformers(): Map<string, ModelConfig> {
  const configs = new Map<string, ModelConfig>();
  for (const kind of ["moe", "dense"]) {
    for (let index = 0; index < modelsOfAKind; index++) configs.set(`${kind}-${index}`, configOf(kind, index));
  }
  return configs;
}

function configOf(kind: string, index: number): ModelConfig {
  const pick = <T>(what: string, values: readonly T[]): T =>
    values[shuffled(values.length, streamKeys(index, kind, what))[0]!]!;
  const between = (what: string, first: number, count: number): number =>
    pick(
      what,
      Array.from({ length: count }, (_, at) => first + at),
    );
  const numKeyValueHeads = between("KV heads", 1, 3);
  const topK = [1, 2, 8][index % 3]!;
  const mixture = {
    topK,
    numExperts: between("experts", Math.max(2, topK), 4),
    ...(topK === 1 ? { topOneGate: "one" as const } : {}),
  };
  return {
    ...presets["nano-portable"],
    ...(kind === "moe" ? mixture : { topK: 0, numExperts: 0 }),
    vocabularySize: between("vocabulary", 40, 24),
    hiddenSize: between("hidden", 17, 23),
    intermediateSize: between("width", 9, 15),
    numHiddenLayers: between("layers", 1, 3),
    numKeyValueHeads,
    numAttentionHeads: numKeyValueHeads * between("group", 1, 3),
    headDim: pick("head", [4, 6, 10, 16]),
    ropeTheta: pick("theta", [10_000, 500_000]),
    ropeScaling: { type: "dynamic", alpha: [1000, 1, 37.5][index % 3]!, factor: 1 },
    rmsNormEps: pick("epsilon", [1e-5, 1e-6]),
    maxPositionEmbeddings: 64,
    tieWordEmbeddings: index % 2 === 0,
    initializerRange: 0.2,
  };
}

/** Settings that only the official layout can say, beside one that others can too. */
export function configsForTheOfficialCode(): Map<string, ModelConfig> {
  const small = {
    ...presets.nano,
    vocabularySize: 53,
    hiddenSize: 24,
    intermediateSize: 11,
    numAttentionHeads: 4,
    numKeyValueHeads: 2,
    headDim: 6,
    maxPositionEmbeddings: 64,
    initializerRange: 0.2,
  };
  return new Map<string, ModelConfig>([
    ["like-nano", { ...small, numExperts: 5 }],
    ["without-qk-norm", { ...small, useQkNorm: false, topK: 3, ropeScaling: null, tieWordEmbeddings: false }],
    ["wide-groups", { ...small, claShareFactor: 4, numSharedExperts: 2, topK: 2, numKeyValueHeads: 1 }],
    ["dense", { ...small, numExperts: 0, topK: 0 }],
  ]);
}

/** Writes a model into `folder/name` as any command would, in float32. The caller disposes of the model. */
export function writeOurModel(folder: string, name: string, config: ModelConfig): Transformer {
  const model = new Transformer(config);
  model.initialize(3);
  for (const { name: tensor, role } of model.descriptions) {
    // norms that are all one would hide a norm left out
    if (role !== "norm") continue;
    const { weight } = model.parameter(tensor);
    weight.setFloats(Float32Array.from({ length: weight.elements }, (_, at) => 0.6 + ((at * 7) % 11) / 12));
  }
  writeModelDirectory(path.join(folder, name), {
    config: model.config,
    tensors: model.officialTensors().map(({ name: tensor, tensor: values }) => ({
      name: tensor,
      dtype: "F32",
      shape: values.shape,
      bytes: values.toBytes(),
    })),
    generation: { bosTokenId: 1, eosTokenIds: [2], padTokenId: 0 },
    modelCard: "# A tiny model\n",
    writeTokenizer: (into) => fs.mkdirSync(into, { recursive: true }),
  });
  return model;
}

/** Logits of every position of one text, float32 [tokens, vocabulary], in f32 arithmetic. */
export function logitsOf(model: Transformer, tokens: readonly number[]): Float32Array {
  using execution = new Execution({ threads: 2, computeType: "f32" });
  const { arena } = execution;
  model.keepPacked(execution.pool, "f32");
  const sequence = Int32Array.of(0, tokens.length, 0, tokens.length);
  const attend = new PackedAttention(execution, model.config, arena.integers(sequence, 1, 4));
  const input = {
    tokens: arena.integers(Int32Array.from(tokens)),
    positions: arena.integers(Int32Array.from(tokens.keys())),
  };
  const { hidden } = model.forward(execution, input, attend, dropless);
  return linear(execution, hidden, model.head).toFloat32Array();
}
