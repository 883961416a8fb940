import { RookeryError } from "../../base/errors.ts";
import { hash32, streamKeys } from "../../base/random.ts";
import { type ModelConfig, modelConfigSchema } from "../../model/config.ts";
import { Transformer } from "../../model/transformer.ts";
import { Execution } from "../../tensor/execution.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { predictTrainingMemory, type TrainingMemory } from "../../train/memory.ts";
import { AdamW } from "../../train/optimizer.ts";
import { type MicroBatch, trainStep } from "../../train/step.ts";
import type { TrainWork } from "../protocol.ts";
import { digestOf, type Seconds, secondsOf, type Workload } from "./workload.ts";

/**
 * The model of bench/peers/pytorch: one shared expert and top-1 of the specialised ones, pairs of layers that share K and V.
 * @throws RookeryError INVALID_CONFIG for a size that no model has.
 */
export function benchModel(work: TrainWork): ModelConfig {
  const parsed = modelConfigSchema.safeParse({
    vocabularySize: work.vocabulary,
    hiddenSize: work.hidden,
    intermediateSize: work.ffn,
    numHiddenLayers: work.layers,
    numAttentionHeads: work.heads,
    numKeyValueHeads: work.keyValueHeads,
    headDim: work.hidden / work.heads,
    numExperts: work.experts,
    topK: 1,
    numSharedExperts: 1,
    claShareFactor: 2,
    useQkNorm: false,
    tieWordEmbeddings: true,
    rmsNormEps: 1e-5,
    ropeTheta: 10_000,
    ropeScaling: { type: "dynamic", alpha: 1, factor: 1 },
    maxPositionEmbeddings: work.sequenceLength,
    initializerRange: 0.02,
  });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new RookeryError(
    "INVALID_CONFIG",
    `${issue?.path.join(".")} of the model: ${issue?.message}`,
    "choose another size",
  );
}

/** What training takes, as a run predicts it. */
export function predictedMemory(work: TrainWork, threads: number): TrainingMemory {
  const { batch: rows, sequenceLength, computeType, recomputation } = work;
  return predictTrainingMemory(benchModel(work), { rows, sequenceLength, computeType, recomputation, threads });
}

/** Rows of random tokens, one document each. */
function randomBatch({ batch, sequenceLength, vocabulary, seed }: TrainWork): MicroBatch {
  const keys = streamKeys(seed, "bench tokens");
  const count = batch * sequenceLength;
  const at = (row: number, place: number) => hash32(keys, row * (sequenceLength + 1) + place) % vocabulary;
  const fill = (value: (row: number, place: number) => number) =>
    Int32Array.from({ length: count }, (_, i) => value(Math.floor(i / sequenceLength), i % sequenceLength));
  return {
    tokens: fill(at),
    targets: fill((row, place) => at(row, place + 1)),
    positions: fill((_, place) => place),
    sequences: Int32Array.from({ length: 2 * batch }, (_, i) =>
      i % 2 === 0 ? (i / 2) * sequenceLength : sequenceLength,
    ),
  };
}

/** Too small to move a token to another expert: every round meets the loads of the first one, here and in the peer. */
const learningRate = 1e-6;

const settings = {
  routing: { mode: "dropless", capacityFactor: 1, balanceCoefficient: 0.01, zCoefficient: 0 },
  maxGradientNorm: 1,
  rates: { learningRate, expertLearningRate: learningRate },
} as const;

/** Training steps of our own, on one batch again and again. */
export class TrainWorkload implements Workload {
  readonly #execution: Execution;
  readonly #model: Transformer;
  readonly #optimizer: AdamW;
  readonly #batch: MicroBatch;
  readonly #work: TrainWork;
  readonly parameters: number;
  #step = 0;

  constructor(work: TrainWork, threads: number) {
    this.#execution = new Execution({ threads, computeType: work.computeType });
    this.#model = new Transformer(benchModel(work));
    this.#model.initialize(work.seed, "scaled");
    this.#execution.arena.reserve(predictedMemory(work, threads).arenaBytes);
    this.#optimizer = new AdamW(this.#model, { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 });
    this.#batch = randomBatch(work);
    this.#work = work;
    this.parameters = [...this.#model.parameters.values()].reduce((sum, { weight }) => sum + weight.elements, 0);
  }

  time(repetitions: number): Seconds {
    return { step: secondsOf(() => this.#run(repetitions)) };
  }

  /** Of all weights as they are now, and of the moments, which show every bit of the gradients. */
  digest(): string {
    const weights = [...this.#model.parameters.values()].map((parameter) => parameter.weight);
    const moments = this.#optimizer.stateTensors().map(({ tensor }) => tensor);
    return digestOf(bytesOf([...weights, ...moments]));
  }

  [Symbol.dispose](): void {
    this.#optimizer[Symbol.dispose]();
    this.#model[Symbol.dispose]();
    this.#execution[Symbol.dispose]();
  }

  #run(steps: number): void {
    const { seed, recomputation } = this.#work;
    for (let i = 0; i < steps; i++) {
      const random = { seed, step: ++this.#step };
      trainStep(this.#execution, this.#model, this.#optimizer, [this.#batch], { ...settings, random, recomputation });
    }
  }
}

function* bytesOf(tensors: readonly Tensor[]): Generator<Uint8Array> {
  for (const tensor of tensors) yield tensor.toBytes();
}
