/**
 * The one description of a model's parameters. The model is built from it, the accounting counts it, and the official
 * state-dict names (interop §1.2) are views of it. Experts of a layer lie in one array, so that they run as one grouped product.
 */
import { keyValueOwner, type ModelConfig } from "./config.ts";

/** What a parameter is for: decides its learning rate, its weight decay and how it is counted. */
export type ParameterRole = "embedding" | "head" | "norm" | "attention" | "router" | "sharedExpert" | "expert";

/** A tensor of the official state dict: `rows` leading rows, from `firstRow`, of the array seen as [all rows, columns]. */
export type OfficialTensor = { name: string; shape: readonly number[]; firstRow: number; rows: number };

export type ParameterDescription = {
  /** Our name; the official one where one array is one tensor. */
  name: string;
  role: ParameterRole;
  /** Matrices [out, in] or [experts, out, in] are multiplied with; arrays (norms, router, a pure lookup) are read in place. */
  kind: "matrix" | "array";
  shape: readonly number[];
  /** Whether its product is added to the residual stream: o_proj and down_proj. */
  isResidualOutput: boolean;
  /** undefined for what stands outside the layers. */
  layer: number | undefined;
  official: readonly OfficialTensor[];
};

type Part = Omit<ParameterDescription, "official" | "layer" | "isResidualOutput"> & {
  official?: readonly OfficialTensor[];
};

const residualOutputs = /(o_proj\.weight|down_proj)$/;

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The elements of a parameter that one token touches: of the specialised experts only the chosen ones. */
export function activatedElements(config: ModelConfig, { role, shape }: ParameterDescription): number {
  const elements = elementCount(shape);
  return role === "expert" ? (elements / config.numExperts) * config.topK : elements;
}

/** All parameters, in the order in which data meets them. */
export function describeParameters(config: ModelConfig): ParameterDescription[] {
  const { vocabularySize, hiddenSize, tieWordEmbeddings, numHiddenLayers } = config;
  const table = [vocabularySize, hiddenSize];
  const parts: ParameterDescription[] = [];
  const add = (layer: number | undefined, list: Part[]) => {
    for (const part of list) {
      const isResidualOutput = residualOutputs.test(part.name);
      parts.push({ ...part, layer, isResidualOutput, official: part.official ?? [whole(part.name, part.shape)] });
    }
  };
  add(undefined, [
    {
      name: "model.embed_tokens.weight",
      role: "embedding",
      kind: tieWordEmbeddings ? "matrix" : "array",
      shape: table,
    },
  ]);
  for (let layer = 0; layer < numHiddenLayers; layer++) {
    const prefix = `model.layers.${layer}.`;
    add(layer, [norm(`${prefix}input_layernorm.weight`, hiddenSize)]);
    add(layer, attentionParts(config, layer, `${prefix}self_attn.`));
    add(layer, [norm(`${prefix}post_attention_layernorm.weight`, hiddenSize)]);
    add(layer, feedForwardParts(config, `${prefix}mlp.`));
  }
  add(undefined, [norm("model.norm.weight", hiddenSize)]);
  if (!tieWordEmbeddings) add(undefined, [{ name: "lm_head.weight", role: "head", kind: "matrix", shape: table }]);
  return parts;
}

function whole(name: string, shape: readonly number[]): OfficialTensor {
  return { name, shape, firstRow: 0, rows: elementCount(shape.slice(0, -1)) };
}

function norm(name: string, width: number): Part {
  return { name, role: "norm", kind: "array", shape: [width] };
}

function attentionParts(config: ModelConfig, layer: number, prefix: string): Part[] {
  const { hiddenSize, headDim, numAttentionHeads, numKeyValueHeads } = config;
  const matrix = (name: string, out: number, input: number): Part => {
    return { name: `${prefix}${name}.weight`, role: "attention", kind: "matrix", shape: [out, input] };
  };
  const ownsKeyValue = keyValueOwner(config, layer) === layer;
  return [
    matrix("q_proj", numAttentionHeads * headDim, hiddenSize),
    ...(ownsKeyValue
      ? [
          matrix("k_proj", numKeyValueHeads * headDim, hiddenSize),
          matrix("v_proj", numKeyValueHeads * headDim, hiddenSize),
        ]
      : []),
    ...(config.useQkNorm
      ? [norm(`${prefix}query_layernorm.weight`, headDim), norm(`${prefix}key_layernorm.weight`, headDim)]
      : []),
    matrix("o_proj", hiddenSize, numAttentionHeads * headDim),
  ];
}

function feedForwardParts(config: ModelConfig, prefix: string): Part[] {
  const { hiddenSize, intermediateSize, numExperts, numSharedExperts } = config;
  // A dense layer has one feed-forward that every token goes through: a shared expert under a shorter name.
  if (numExperts === 0) return gatedParts(prefix, "sharedExpert", intermediateSize, hiddenSize);
  const parts: Part[] = [
    { name: `${prefix}gate.wg.weight`, role: "router", kind: "array", shape: [numExperts, hiddenSize] },
  ];
  if (numSharedExperts > 0) {
    parts.push(...gatedParts(`${prefix}shared_mlp.`, "sharedExpert", intermediateSize * numSharedExperts, hiddenSize));
  }
  parts.push(...gatedParts(`${prefix}experts.`, "expert", intermediateSize, hiddenSize, numExperts));
  return parts;
}

/** A SwiGLU feed-forward, or `experts` of them in one array: gate above up in one matrix, then down. */
function gatedParts(prefix: string, role: ParameterRole, width: number, hidden: number, experts?: number): Part[] {
  const leading = experts === undefined ? [] : [experts];
  const gateUp: OfficialTensor[] = [];
  const down: OfficialTensor[] = [];
  for (let expert = 0; expert < (experts ?? 1); expert++) {
    const name = experts === undefined ? prefix : `${prefix}${expert}.`;
    const first = expert * 2 * width;
    gateUp.push({ name: `${name}gate_proj.weight`, shape: [width, hidden], firstRow: first, rows: width });
    gateUp.push({ name: `${name}up_proj.weight`, shape: [width, hidden], firstRow: first + width, rows: width });
    down.push({ name: `${name}down_proj.weight`, shape: [hidden, width], firstRow: expert * hidden, rows: hidden });
  }
  return [
    { name: `${prefix}gate_up_proj`, role, kind: "matrix", shape: [...leading, 2 * width, hidden], official: gateUp },
    { name: `${prefix}down_proj`, role, kind: "matrix", shape: [...leading, hidden, width], official: down },
  ];
}
