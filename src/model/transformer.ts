/** The model: its parameters, and the forward pass that training and serving share. */
import { RookeryError } from "../base/errors.ts";
import { streamKeys } from "../base/random.ts";
import type { ThreadPool } from "../kernels/bindings/threads.ts";
import type { Execution } from "../tensor/execution.ts";
import type { Dropout } from "../tensor/ops/dropout.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import { recompute } from "../tensor/ops/recompute.ts";
import { rmsnorm } from "../tensor/ops/rmsnorm.ts";
import type { RotaryTable } from "../tensor/ops/rope.ts";
import { type RoutingReport, reportTensors } from "../tensor/ops/router.ts";
import { Parameter } from "../tensor/parameter.ts";
import type { WeightFormat } from "../tensor/quantized-weight.ts";
import { type ComputeType, Tensor } from "../tensor/tensor.ts";
import { type Attend, type AttentionWeights, attentionLayer, type Positions } from "./attention.ts";
import { checkModelConfig, keyValueOwner, type ModelConfig } from "./config.ts";
import { type MixtureWeights, mixtureLayer } from "./experts.ts";
import { fillNormal, type Initialization, initialDeviation } from "./initialize.ts";
import {
  describeParameters,
  type OfficialTensor,
  type ParameterDescription,
  type ParameterRole,
} from "./parameters.ts";
import type { Recomputation } from "./recomputation.ts";
import { rotaryTable } from "./rotary.ts";
import type { RoutingPlan } from "./router.ts";

type Layer = {
  inputNorm: Parameter;
  attention: AttentionWeights;
  postAttentionNorm: Parameter;
  mixture: MixtureWeights;
  group: number;
};

/** int32 [tokens] each. */
export type ForwardInput = { tokens: Tensor; positions: Tensor };

/** A parameter that is trained; its role decides its learning rate and its decay. */
export type TrainedParameter = { parameter: Parameter; role: ParameterRole };

/** A tensor of the official state dict as a view of the weights: f32, in PyTorch's [out, in] order. */
export type NamedTensor = { name: string; tensor: Tensor };

export class Transformer implements Disposable {
  #config: ModelConfig;
  readonly descriptions: readonly ParameterDescription[];
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly #layers: readonly Layer[];
  readonly #isPlanned: boolean;
  #rotary: { positions: number; table: RotaryTable; dispose: () => void } | undefined;

  /**
   * Builds the model with all weights zero; `initialize` or `load` fills them. @throws RookeryError INVALID_CONFIG.
   * @param isPlanned weights are only counted and have no memory.
   * @param formatOf which parameters lie in 8 or 4 bits; then the model only serves.
   */
  constructor(
    config: ModelConfig,
    {
      isPlanned = false,
      formatOf,
    }: { isPlanned?: boolean; formatOf?: (parameter: ParameterDescription) => WeightFormat | undefined } = {},
  ) {
    this.#config = checkModelConfig(config);
    this.#isPlanned = isPlanned;
    this.descriptions = describeParameters(config);
    const parameters = new Map<string, Parameter>();
    try {
      for (const description of this.descriptions) {
        const { name, shape, kind } = description;
        parameters.set(name, new Parameter(name, shape, kind, { isPlanned, format: formatOf?.(description) }));
      }
    } catch (error) {
      for (const parameter of parameters.values()) parameter[Symbol.dispose]();
      throw error;
    }
    this.parameters = parameters;
    this.#layers = Array.from({ length: config.numHiddenLayers }, (_, layer) => this.#layer(layer));
  }

  get config(): ModelConfig {
    return this.#config;
  }

  /** Other angles and more positions for the same weights. Between forward passes only. */
  changePositions(change: Pick<ModelConfig, "ropeTheta" | "ropeScaling" | "maxPositionEmbeddings">): void {
    const { ropeTheta, ropeScaling, maxPositionEmbeddings } = change;
    this.#config = checkModelConfig({ ...this.#config, ropeTheta, ropeScaling, maxPositionEmbeddings });
    this.#rotary?.dispose();
    this.#rotary = undefined;
  }

  /** Fresh weights, norms 1. The same seed gives the same model. */
  initialize(seed: number, scheme: Initialization = "official"): void {
    const weights = this.descriptions.map(({ name }) => this.parameter(name).weight);
    // one array for all: each of its own would be there until the garbage collector comes
    const room = new Float32Array(Math.max(...weights.map(({ elements }) => elements)));
    for (const [index, description] of this.descriptions.entries()) {
      const weight = weights[index]!;
      const values = room.subarray(0, weight.elements).fill(0);
      if (description.role === "norm") values.fill(1);
      else {
        const deviation = initialDeviation(description, this.config.initializerRange, scheme);
        if (deviation > 0) fillNormal(values, deviation, streamKeys(seed, "initialize", description.name));
      }
      weight.setFloats(values);
    }
  }

  /** Keeps the weights packed for forward products of `computeType`: for serving, after they were loaded. */
  keepPacked(pool: ThreadPool, computeType: ComputeType): void {
    for (const parameter of this.parameters.values()) parameter.keepPacked(pool, computeType);
  }

  /**
   * Hidden states [tokens, hidden] after the last norm, and how each layer routed (none in a dense model). `attend` answers the queries:
   * within a packed batch for training, from a cache for serving. With `recomputation` "block", a training pass keeps only
   * what goes from one CLA group of layers to the next.
   */
  forward(
    execution: Execution,
    input: ForwardInput,
    attend: Attend,
    plan: RoutingPlan,
    recomputation: Recomputation = "none",
  ): { hidden: Tensor; routings: RoutingReport[] } {
    const { config } = this;
    return execution.arena.scope(
      () => {
        const positions = { positions: input.positions, table: this.#rotaryTable() };
        const routings: RoutingReport[] = [];
        let x = embedding(execution, input.tokens, this.parameter("model.embed_tokens.weight"));
        for (let first = 0; first < config.numHiddenLayers; first += config.claShareFactor) {
          const from = x;
          const group = () => this.#group(execution, from, first, positions, attend, plan);
          const result =
            recomputation === "block"
              ? recompute(execution, from, group, (made) => made.routings.flatMap(reportTensors))
              : execution.arena.scope(group, (made) => [made.out, ...made.routings.flatMap(reportTensors)]);
          routings.push(...result.routings);
          x = result.out;
        }
        return { hidden: rmsnorm(execution, x, this.parameter("model.norm.weight"), config.rmsNormEps), routings };
      },
      ({ hidden, routings }) => [hidden, ...routings.flatMap(reportTensors)],
    );
  }

  /** The layers from `first` on that share its K and V. */
  #group(
    execution: Execution,
    input: Tensor,
    first: number,
    positions: Positions,
    attend: Attend,
    plan: RoutingPlan,
  ): { out: Tensor; routings: RoutingReport[] } {
    const { config } = this;
    const routings: RoutingReport[] = [];
    let x = input;
    for (const [index, layer] of this.#layers.slice(first, first + config.claShareFactor).entries()) {
      const normed = rmsnorm(execution, x, layer.inputNorm, config.rmsNormEps);
      const drops = dropoutsOf(plan, first + index);
      const attended = attentionLayer(
        execution,
        normed,
        x,
        layer.attention,
        config,
        layer.group,
        positions,
        attend,
        drops.attention,
      );
      const normedAgain = rmsnorm(execution, attended, layer.postAttentionNorm, config.rmsNormEps);
      const { out, routing } = mixtureLayer(
        execution,
        normedAgain,
        attended,
        layer.mixture,
        config,
        first + index,
        plan,
        drops.mixture,
      );
      if (routing) routings.push(routing);
      x = out;
    }
    return { out: x, routings };
  }

  /** The matrix that turns hidden states into logits: the embedding table if they are tied. */
  get head(): Parameter {
    return this.parameter(this.config.tieWordEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight");
  }

  /** What an optimizer changes: everything. */
  trainedParameters(): TrainedParameter[] {
    return this.descriptions.map(({ name, role }) => ({ parameter: this.parameter(name), role }));
  }

  parameter(name: string): Parameter {
    const parameter = this.parameters.get(name);
    if (!parameter) throw new Error(`this model has no parameter ${name}`);
    return parameter;
  }

  /** Every tensor under its official name, as a view of the weights or, with "gradient", of their gradients. */
  officialTensors(what: "weight" | "gradient" = "weight"): NamedTensor[] {
    return this.descriptions.flatMap(({ name, official }) => {
      const whole = this.parameter(name)[what];
      return official.map((part) => ({ name: part.name, tensor: viewOf(whole, part) }));
    });
  }

  /** Bytes of weights and gradients that it holds. */
  [Symbol.dispose](): void {
    for (const parameter of this.parameters.values()) parameter[Symbol.dispose]();
    this.#rotary?.dispose();
    this.#rotary = undefined;
  }

  /**
   * Makes room for positions below `count`, which may be more than the model was trained on. Between forward passes only.
   */
  reservePositions(count: number): void {
    if (this.#isPlanned || (this.#rotary && count <= this.#rotary.positions)) return;
    const values = rotaryTable(this.config, count);
    const cosine = Tensor.persistent("f32", [count, this.config.headDim / 2]);
    const sine = Tensor.persistent("f32", [count, this.config.headDim / 2]);
    cosine.tensor.setFloats(values.cosine);
    sine.tensor.setFloats(values.sine);
    this.#rotary?.dispose();
    this.#rotary = {
      positions: count,
      table: { cosine: cosine.tensor, sine: sine.tensor },
      dispose: () => {
        cosine.memory[Symbol.dispose]();
        sine.memory[Symbol.dispose]();
      },
    };
  }

  /** Angles for every position up to the model's longest sequence, made at the first forward pass. */
  #rotaryTable(): RotaryTable {
    if (this.#isPlanned) {
      const planned = Tensor.planned("f32", [this.config.maxPositionEmbeddings, this.config.headDim / 2]);
      return { cosine: planned, sine: planned };
    }
    this.reservePositions(this.config.maxPositionEmbeddings);
    return this.#rotary!.table;
  }

  #layer(index: number): Layer {
    const { config } = this;
    const prefix = `model.layers.${index}.`;
    const at = (name: string) => this.parameter(`${prefix}${name}`);
    const gated = (name: string) => ({ gateUp: at(`mlp.${name}gate_up_proj`), down: at(`mlp.${name}down_proj`) });
    return {
      group: Math.floor(index / config.claShareFactor),
      inputNorm: at("input_layernorm.weight"),
      postAttentionNorm: at("post_attention_layernorm.weight"),
      attention: {
        query: at("self_attn.q_proj.weight"),
        output: at("self_attn.o_proj.weight"),
        ...(keyValueOwner(config, index) === index && {
          key: at("self_attn.k_proj.weight"),
          value: at("self_attn.v_proj.weight"),
        }),
        ...(config.useQkNorm && {
          queryNorm: at("self_attn.query_layernorm.weight"),
          keyNorm: at("self_attn.key_layernorm.weight"),
        }),
      },
      mixture:
        config.numExperts === 0
          ? { shared: gated("") }
          : {
              ...(config.numSharedExperts > 0 && { shared: gated("shared_mlp.") }),
              routed: { router: at("mlp.gate.wg.weight"), experts: gated("experts.") },
            },
    };
  }
}

/** The dropout of a layer's parts, each by random numbers of its own. */
function dropoutsOf({ dropout, seed, randomStream }: RoutingPlan, layer: number) {
  const named = (rate: number | undefined, op: string): Dropout | undefined =>
    rate ? { rate, keys: streamKeys(seed, ...randomStream, "dropout", layer, op) } : undefined;
  return {
    attention: {
      probabilities: named(dropout?.attention, "probabilities"),
      hidden: named(dropout?.hidden, "attention"),
    },
    mixture: named(dropout?.hidden, "mixture"),
  };
}

function viewOf(whole: Tensor, part: OfficialTensor): Tensor {
  const columns = part.shape.at(-1) ?? 1;
  if (part.shape.length === 1) return whole;
  return whole
    .reshape(whole.elements / columns, columns)
    .rows(part.firstRow, part.rows)
    .reshape(...part.shape);
}

/**
 * Fills a model from tensors of the official names.
 * @throws RookeryError FILE_DAMAGED for a tensor that is missing, there twice, unknown to the model, or of another shape.
 */
export function loadOfficialTensors(
  model: Transformer,
  tensors: Iterable<{ name: string; shape: readonly number[]; values: Float32Array }>,
): void {
  const wanted = new Map(model.officialTensors().map((named) => [named.name, named.tensor]));
  const loaded = new Set<string>();
  const damaged = (message: string) =>
    new RookeryError("FILE_DAMAGED", message, "the weights belong to another configuration");
  for (const { name, shape, values } of tensors) {
    const tensor = wanted.get(name);
    if (!tensor) throw damaged(loaded.has(name) ? `${name} is there twice` : `the model has no tensor ${name}`);
    if (shape.join() !== tensor.shape.join()) {
      throw damaged(`${name} is [${shape.join(", ")}], the model needs [${tensor.shape.join(", ")}]`);
    }
    tensor.setFloats(values);
    wanted.delete(name);
    loaded.add(name);
  }
  const missing = wanted.keys().next().value;
  if (missing !== undefined) throw damaged(`${missing} is missing (${wanted.size} tensors are)`);
}
