/** Supervised fine-tuning: cross-entropy of the assistant's tokens in packed conversations, with dropout. */
import { RookeryError } from "../base/errors.ts";
import { shuffled, streamKeys } from "../base/random.ts";
import { conversationReader } from "../data/chat.ts";
import type { ModelConfig } from "../model/config.ts";
import { dropless, type RoutingPlan } from "../model/router.ts";
import type { TrainedParameter } from "../model/transformer.ts";
import { linearCrossEntropy } from "../tensor/ops/cross-entropy.ts";
import type { AdamW } from "../train/optimizer.ts";
import { applyGradients, forwardHidden, forwardLoss, goThroughMicroBatches, type Rates } from "../train/step.ts";
import { type ChatData, type Example, readChatData } from "./chat-data.ts";
import { Adapters } from "./lora.ts";
import type { SftOptions } from "./options.ts";
import { inParts, lengthOf, type PackedSamples, packRows, planRows } from "./packing.ts";
import { encodeSample } from "./samples.ts";
import { saveChatModel } from "./save.ts";
import type { Figures, Stage, StageContext, StageParts, StageStep } from "./stage.ts";

export async function makeSftStage(options: SftOptions, parts: StageParts, context: StageContext): Promise<Stage> {
  const { tokenizer, config } = parts.base;
  checkSizes(options, config);
  const encode = async ({ messages }: { messages: Parameters<typeof encodeSample>[1] }) => [
    await encodeSample(tokenizer, messages),
  ];
  return new SftStage(options, parts, await readChatData(options, conversationReader(options), encode, context));
}

/** What can be refused before the data is read. */
function checkSizes({ batchTokens, sequenceLength, loraRank }: SftOptions, { hiddenSize }: ModelConfig): void {
  if (batchTokens % sequenceLength !== 0) {
    throw new RookeryError(
      "INVALID_OPTION",
      `batchTokens ${batchTokens} is no multiple of sequenceLength ${sequenceLength}`,
      "choose sizes that divide each other",
    );
  }
  if (loraRank > hiddenSize) {
    throw new RookeryError(
      "INVALID_OPTION",
      `loraRank ${loraRank} is over the model's width of ${hiddenSize}`,
      `give at most ${hiddenSize}, or leave it out to train all weights`,
    );
  }
}

class SftStage implements Stage {
  readonly totalSteps: number;
  readonly fingerprint: string;
  readonly leftOut: Readonly<Record<string, number>>;
  readonly summary: string;
  readonly #options: SftOptions;
  readonly #parts: StageParts;
  readonly #train: readonly Example<unknown>[];
  readonly #lengths: readonly number[];
  readonly #heldOut: readonly PackedSamples[];
  readonly #padToken: number;
  readonly #adapters: Adapters | undefined;
  /** Steps before each epoch. */
  readonly #epochStarts: number[] = [];
  #plan: { epoch: number; updates: number[][][] } | undefined;

  constructor(options: SftOptions, parts: StageParts, data: ChatData<unknown>) {
    const { epochs } = options;
    this.#options = options;
    this.#parts = parts;
    this.#train = data.train;
    const { loraRank: rank, loraAlpha: alpha, loraProjections: projections, seed } = options;
    this.#adapters = rank > 0 ? new Adapters(parts.base.model, { rank, alpha, projections, seed }) : undefined;
    this.#lengths = data.train.map(({ unit }) => lengthOf(unit));
    this.#padToken = parts.base.tokenizer.controlId("pad");
    this.#heldOut = packAll(data.heldOut, options, this.#padToken);
    let steps = 0;
    for (let epoch = 0; epoch < epochs; epoch++) {
      this.#epochStarts.push(steps);
      steps += this.#updatesOf(epoch).length;
    }
    this.totalSteps = Math.min(options.steps ?? steps, steps);
    ({ fingerprint: this.fingerprint, leftOut: this.leftOut, summary: this.summary } = data);
  }

  trainedParameters(): readonly TrainedParameter[] {
    return (this.#adapters ?? this.#parts.base.model).trainedParameters();
  }

  extraState() {
    return [];
  }

  runStep(step: number, optimizer: AdamW, rates: Rates): StageStep {
    const { execution, base } = this.#parts;
    const { routing: mode, capacityFactor, balanceCoefficient, seed, recomputation, ...options } = this.#options;
    const batches = this.#batchesOf(step);
    const targets = batches.reduce((sum, batch) => sum + batch.targets.filter((target) => target >= 0).length, 0);
    const dropout = { attention: options.attentionDropout, hidden: options.hiddenDropout };
    const { results, ...routed } = goThroughMicroBatches(
      execution,
      [...base.model.parameters.values(), ...this.trainedParameters().map(({ parameter }) => parameter)],
      batches,
      { routing: { mode, capacityFactor, balanceCoefficient, zCoefficient: 0 }, random: { seed, step } },
      (batch, plan: RoutingPlan) => {
        const { result: losses, routings } = forwardHidden(
          execution,
          base.model,
          batch,
          { ...plan, dropout },
          recomputation,
          (hidden) => {
            const targetIds = execution.arena.integers(batch.targets);
            const losses = linearCrossEntropy(execution, hidden, base.model.head, targetIds, 1 / Math.max(targets, 1));
            return { result: losses, keeps: [losses] };
          },
        );
        return { routings, read: () => sumOf(losses.toFloat32Array()) };
      },
    );
    const loss = sumOf(results) / Math.max(targets, 1);
    const settings = { maxGradientNorm: options.maxGradientNorm, rates };
    const update = applyGradients(execution, optimizer, loss + routed.routingLoss, settings);
    const tokens = batches.reduce((sum, batch) => sum + batch.tokens.length, 0);
    return { loss, tokens, ...routed, ...update, figures: { targets } };
  }

  evaluate(): Figures {
    const { execution, base } = this.#parts;
    let [loss, targets] = [0, 0];
    for (const batch of this.#heldOut) {
      loss += sumOf(forwardLoss(execution, base.model, batch, dropless, 1).losses.toFloat32Array());
      targets += batch.targets.filter((target) => target >= 0).length;
      execution.arena.reset();
    }
    return targets === 0 ? {} : { heldOutCrossEntropy: loss / targets };
  }

  /** Adapters become part of their matrices, which changes nothing but the rounding. */
  settle(): boolean {
    this.#adapters?.merge(this.#parts.execution);
    return false;
  }

  saveModel(folder: string, facts: Parameters<Stage["saveModel"]>[1]): void {
    saveChatModel(folder, "sft", this.#options, this.#parts, facts);
  }

  [Symbol.dispose](): void {
    this.#adapters?.[Symbol.dispose]();
  }

  #batchesOf(step: number): PackedSamples[] {
    const epoch = this.#epochStarts.findLastIndex((start) => start < step);
    const rows = this.#updatesOf(epoch)[step - 1 - this.#epochStarts[epoch]!]!;
    const { microBatchRows, sequenceLength } = this.#options;
    return inParts(rows, microBatchRows).map((some) =>
      packRows(some, (unit) => this.#train[unit]!.unit, sequenceLength, this.#padToken),
    );
  }

  /** Rows of the updates of an epoch. */
  #updatesOf(epoch: number): number[][][] {
    if (this.#plan?.epoch !== epoch) {
      const { seed, sequenceLength, batchTokens } = this.#options;
      const order = shuffled(this.#train.length, streamKeys(seed, "samples", epoch));
      const rows = planRows(this.#lengths, order, sequenceLength);
      this.#plan = { epoch, updates: inParts(rows, batchTokens / sequenceLength) };
    }
    return this.#plan.updates;
  }
}

/** All examples as batches, in their order. */
export function packAll(
  examples: readonly Example<unknown>[],
  { microBatchRows, sequenceLength }: { microBatchRows: number; sequenceLength: number },
  padToken: number,
): PackedSamples[] {
  const lengths = examples.map(({ unit }) => lengthOf(unit));
  const rows = planRows(lengths, examples.keys(), sequenceLength);
  return inParts(rows, microBatchRows).map((some) =>
    packRows(some, (unit) => examples[unit]!.unit, sequenceLength, padToken),
  );
}

export function sumOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum;
}
