/** The reward model: the language model without its head, and one number read off the last token of a text. */
import { dropless } from "../model/router.ts";
import type { TrainedParameter, Transformer } from "../model/transformer.ts";
import type { Execution } from "../tensor/execution.ts";
import { score } from "../tensor/ops/score.ts";
import { Parameter } from "../tensor/parameter.ts";
import type { AdamW } from "../train/optimizer.ts";
import { applyGradients, forwardHidden, goThroughMicroBatches, type Rates } from "../train/step.ts";
import type { ChatData } from "./chat-data.ts";
import { rewardLoss, sigmoid } from "./losses.ts";
import type { RewardOptions } from "./options.ts";
import type { PackedSamples } from "./packing.ts";
import { packUnits, pairsOfStep, placesOfPairs, readPairs } from "./pairs.ts";
import { saveRewardModel, scoreName } from "./reward-directory.ts";
import { sumOf } from "./sft.ts";
import type { Figures, Stage, StageContext, StageParts, StageStep } from "./stage.ts";

export async function makeRewardStage(
  options: RewardOptions,
  parts: StageParts,
  context: StageContext,
): Promise<Stage> {
  return new RewardStage(options, parts, await readPairs(options, parts.base.tokenizer, context));
}

/** Scores of the texts of a batch, in the order of `placed`: each read off its last token. */
export function scoreTexts(
  execution: Execution,
  model: Transformer,
  head: Parameter,
  batch: Omit<PackedSamples, "targets">,
): number[] {
  const { result } = forwardHidden(execution, model, batch, dropless, "none", (hidden) => {
    return { result: score(execution, hidden, head, (scores) => scores), keeps: [] };
  });
  execution.arena.reset();
  return batch.placed.map(({ start, length }) => result[start + length - 1]!);
}

class RewardStage implements Stage {
  readonly totalSteps: number;
  readonly fingerprint: string;
  readonly leftOut: Readonly<Record<string, number>>;
  readonly summary: string;
  readonly #options: RewardOptions;
  readonly #parts: StageParts;
  readonly #data: ChatData<unknown>;
  readonly #padToken: number;
  /** Starts at zero: at first all texts are worth the same. */
  readonly #head: Parameter;

  constructor(options: RewardOptions, parts: StageParts, data: ChatData<unknown>) {
    this.#options = options;
    this.#parts = parts;
    this.#data = data;
    this.#padToken = parts.base.tokenizer.controlId("pad");
    this.#head = new Parameter(scoreName, [1, parts.base.model.config.hiddenSize], "matrix");
    const steps = Math.ceil((options.epochs * data.train.length) / options.batchPairs);
    this.totalSteps = Math.min(options.steps ?? steps, steps);
    ({ fingerprint: this.fingerprint, leftOut: this.leftOut, summary: this.summary } = data);
  }

  trainedParameters(): readonly TrainedParameter[] {
    return [...this.#parts.base.model.trainedParameters(), { parameter: this.#head, role: "head" }];
  }

  extraState() {
    return [];
  }

  runStep(step: number, optimizer: AdamW, rates: Rates): StageStep {
    const { execution, base } = this.#parts;
    const { routing: mode, capacityFactor, balanceCoefficient, seed, recomputation, batchPairs } = this.#options;
    const numbers = pairsOfStep(step, batchPairs, this.#data.train.length, seed);
    const units = numbers.map((number) => this.#data.train[number]!.unit);
    const batches = packUnits(units, this.#options, this.#padToken);
    const { results, ...routed } = goThroughMicroBatches(
      execution,
      this.trainedParameters().map(({ parameter }) => parameter),
      batches,
      { routing: { mode, capacityFactor, balanceCoefficient, zCoefficient: 0 }, random: { seed, step } },
      (batch, plan) => {
        const { result, routings } = forwardHidden(execution, base.model, batch, plan, recomputation, (hidden) => {
          const pairs: { loss: number; margin: number }[] = [];
          score(execution, hidden, this.#head, (scores) => rewardGradients(batch, scores, units.length, pairs));
          return { result: pairs, keeps: [] };
        });
        return { routings, read: () => result };
      },
    );
    const pairs = results.flat();
    const loss = sumOf(pairs.map((pair) => pair.loss)) / pairs.length;
    const settings = { maxGradientNorm: this.#options.maxGradientNorm, rates };
    const update = applyGradients(execution, optimizer, loss + routed.routingLoss, settings);
    const tokens = batches.reduce((sum, batch) => sum + batch.tokens.length, 0);
    return { loss, tokens, ...routed, ...update, figures: { accuracy: accuracyOf(pairs), margin: meanMargin(pairs) } };
  }

  evaluate(): Figures {
    const { execution, base } = this.#parts;
    const { heldOut } = this.#data;
    if (heldOut.length === 0) return {};
    const pairs = packUnits(
      heldOut.map(({ unit }) => unit),
      this.#options,
      this.#padToken,
    ).flatMap((batch) => {
      const scores = scoreTexts(execution, base.model, this.#head, batch);
      const scoreAt = new Map(batch.placed.map((place, i) => [place, scores[i]!]));
      return placesOfPairs(batch).map(({ chosen, rejected }) => {
        const [better, worse] = [scoreAt.get(chosen)!, scoreAt.get(rejected)!];
        return { loss: rewardLoss(better, worse).loss, margin: better - worse };
      });
    });
    return {
      heldOutLoss: sumOf(pairs.map(({ loss }) => loss)) / pairs.length,
      heldOutAccuracy: accuracyOf(pairs),
      heldOutMargin: meanMargin(pairs),
      calibrationError: calibrationError(pairs.map(({ margin }) => margin)),
    };
  }

  settle(): boolean {
    return false;
  }

  saveModel(folder: string, facts: Parameters<Stage["saveModel"]>[1]): void {
    saveRewardModel(folder, this.#head, this.#options, this.#parts, facts);
  }

  [Symbol.dispose](): void {
    this.#head[Symbol.dispose]();
  }
}

/** Gradients of the mean loss over `total` pairs by the scores of all rows: 0 but at the last tokens. Adds the pairs to `pairs`. */
export function rewardGradients(
  batch: PackedSamples,
  scores: Float32Array,
  total: number,
  pairs: { loss: number; margin: number }[],
): Float32Array {
  const gradients = new Float32Array(scores.length);
  for (const { chosen, rejected } of placesOfPairs(batch)) {
    const [better, worse] = [chosen.start + chosen.length - 1, rejected.start + rejected.length - 1];
    const { loss, gradient } = rewardLoss(scores[better]!, scores[worse]!);
    gradients[better] = gradient / total;
    gradients[worse] = -gradient / total;
    pairs.push({ loss, margin: scores[better]! - scores[worse]! });
  }
  return gradients;
}

const meanMargin = (pairs: readonly { margin: number }[]) => sumOf(pairs.map(({ margin }) => margin)) / pairs.length;

/** Share of the pairs whose chosen answer has the higher score; equal ones count half. */
export function accuracyOf(pairs: readonly { margin: number }[]): number {
  return sumOf(pairs.map(({ margin }) => (margin > 0 ? 1 : margin === 0 ? 0.5 : 0))) / pairs.length;
}

/**
 * Expected calibration error (Naeini et al., 2015): σ(|margin|) is how sure the model is that the higher score is the better answer;
 * in ten bins of it, the mean distance to how often that is so.
 */
export function calibrationError(margins: readonly number[]): number {
  const bins = Map.groupBy(margins, (margin) => Math.min(9, Math.floor(10 * (2 * sigmoid(Math.abs(margin)) - 1))));
  const errors = [...bins.values()].map((those) => {
    const sure = sumOf(those.map((margin) => sigmoid(Math.abs(margin)))) / those.length;
    const right = accuracyOf(those.map((margin) => ({ margin })));
    return Math.abs(sure - right) * those.length;
  });
  return sumOf(errors) / Math.max(margins.length, 1);
}
