/**
 * Direct preference optimization in one stage that mixes offline pairs with pairs which the policy samples itself (report §3.2), with
 * an SFT term on chosen answers and averaged weights. The report names none of the numbers; the defaults are Llama 3's.
 */
import type { PreferencePair } from "../data/chat.ts";
import { axpy } from "../kernels/bindings/optim.ts";
import { dropless } from "../model/router.ts";
import { type TrainedParameter, Transformer } from "../model/transformer.ts";
import { linearCrossEntropy } from "../tensor/ops/cross-entropy.ts";
import type { Parameter } from "../tensor/parameter.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { AdamW } from "../train/optimizer.ts";
import { applyGradients, forwardHidden, forwardLoss, goThroughMicroBatches, type Rates } from "../train/step.ts";
import type { ChatData } from "./chat-data.ts";
import { encodeQuestions, readQuestions } from "./exam.ts";
import { type Judge, makeJudge } from "./judge.ts";
import { dpoLoss } from "./losses.ts";
import { samplePairs } from "./online.ts";
import type { DpoOptions } from "./options.ts";
import type { PackedSamples, Unit } from "./packing.ts";
import { packUnits, pairsOfStep, placesOfPairs, readPairs } from "./pairs.ts";
import { Sampler } from "./sampler.ts";
import { countTargets } from "./samples.ts";
import { saveChatModel } from "./save.ts";
import { sumOf } from "./sft.ts";
import type { Figures, NamedState, Stage, StageContext, StageParts, StageStep } from "./stage.ts";
import { concernsOfStep, PolicyWatch, type Watched } from "./watch.ts";

export async function makeDpoStage(options: DpoOptions, parts: StageParts, context: StageContext): Promise<Stage> {
  const { tokenizer } = parts.base;
  using resources = new DisposableStack();
  // what is wrong with the judge is said before the data is read
  const judge = await makeJudge(options, parts);
  resources.use(judge);
  const data = await readPairs(options, tokenizer, context);
  const questions = options.exam.length > 0 ? await readQuestions(options.exam, context) : [];
  const asked = questions.slice(0, options.examQuestions);
  const exam = await encodeQuestions(tokenizer, asked);
  const fits = (_: unknown, i: number) => exam[i]!.length < options.sequenceLength;
  const prompts = data.heldOut.slice(0, options.watchedPrompts);
  const watched = { prompts, questions: asked.filter(fits), exam: exam.filter(fits) };
  const tooLong = asked.length - watched.questions.length;
  if (tooLong > 0) {
    const message = `${tooLong} of ${asked.length} questions of --exam leave no room for an answer in rows of ${options.sequenceLength} and are left out`;
    context.onEvent?.({ type: "warning", message });
  }
  const stage = new DpoStage(options, parts, data, judge, watched);
  resources.move();
  return stage;
}

/** What a step has to say of each pair. */
type PairFigures = ReturnType<typeof dpoLoss> & { chosen: number; rejected: number; drift: number; tokens: number };

class DpoStage implements Stage {
  readonly totalSteps: number;
  readonly fingerprint: string;
  readonly leftOut: Readonly<Record<string, number>>;
  readonly summary: string;
  readonly #options: DpoOptions;
  readonly #parts: StageParts;
  readonly #data: ChatData<PreferencePair>;
  readonly #judge: Judge | undefined;
  readonly #sampler: Sampler;
  readonly #watch: PolicyWatch;
  readonly #padToken: number;
  readonly #eosToken: number;
  readonly #onlineCount: number;
  /** The policy as it was: frozen. */
  readonly #reference: Transformer;
  readonly #averages: { parameter: Parameter; tensor: Tensor; dispose: () => void }[];

  constructor(
    options: DpoOptions,
    parts: StageParts,
    data: ChatData<PreferencePair>,
    judge: Judge | undefined,
    watched: Watched,
  ) {
    const { model, tokenizer } = parts.base;
    this.#options = options;
    this.#parts = parts;
    this.#data = data;
    this.#judge = judge;
    this.#padToken = tokenizer.controlId("pad");
    this.#eosToken = tokenizer.controlId("eos");
    this.#onlineCount = Math.round(options.batchPairs * options.onlineShare);
    // with online pairs alone an epoch is over when every prompt has been answered
    const perStep = options.batchPairs - this.#onlineCount || options.batchPairs;
    const steps = Math.ceil((options.epochs * data.train.length) / perStep);
    this.totalSteps = Math.min(options.steps ?? steps, steps);
    this.fingerprint = `${data.fingerprint} ${judge?.fingerprint ?? ""}`;
    ({ leftOut: this.leftOut, summary: this.summary } = data);
    this.#reference = new Transformer(model.config);
    for (const { name, weight } of this.#reference.parameters.values())
      weight.setBytes(model.parameter(name).weight.toBytes());
    this.#averages = options.emaDecay > 0 ? [...model.parameters.values()].map(averageOf) : [];
    const { execution, base } = parts;
    this.#sampler = new Sampler({ execution, model, tokenizer }, base.generation, options.sequenceLength);
    this.#watch = new PolicyWatch(options, parts, this.#reference, this.#sampler, judge, watched);
  }

  trainedParameters(): readonly TrainedParameter[] {
    return this.#parts.base.model.trainedParameters();
  }

  extraState(): NamedState[] {
    return this.#averages.map(({ parameter, tensor }) => ({ name: `average.${parameter.name}`, tensor }));
  }

  runStep(step: number, optimizer: AdamW, rates: Rates): StageStep {
    const { execution, base } = this.#parts;
    const { model } = base;
    const { routing: mode, capacityFactor, balanceCoefficient, seed, recomputation, ...options } = this.#options;
    const prompts = pairsOfStep(step, options.batchPairs, this.#data.train.length, seed);
    const offlineCount = options.batchPairs - this.#onlineCount;
    const offline = pairsOfStep(step, offlineCount, this.#data.train.length, seed);
    const asked = prompts.slice(offlineCount).map((number) => this.#data.train[number]!);
    const sampled =
      this.#judge && asked.length > 0
        ? samplePairs(this.#sampler, this.#judge, asked, step, this.#options, this.#eosToken)
        : undefined;
    const units: Unit[] = [...offline.map((number) => this.#data.train[number]!.unit), ...(sampled?.units ?? [])];
    if (units.length === 0) return this.#emptyStep(sampled?.figures ?? {});
    const batches = packUnits(units, this.#options, this.#padToken);
    const reference = batches.map((batch) => this.#referenceLosses(batch));
    const chosenTargets = sumOf(units.map(([chosen]) => countTargets(chosen!)));
    let number = 0;
    const { results, ...routed } = goThroughMicroBatches(
      execution,
      [...model.parameters.values()],
      batches,
      { routing: { mode, capacityFactor, balanceCoefficient, zCoefficient: 0 }, random: { seed, step } },
      (batch, plan) => {
        const referenceLosses = reference[number++]!;
        const { result, routings } = forwardHidden(execution, model, batch, plan, recomputation, (hidden) => {
          const targets = execution.arena.integers(batch.targets);
          const losses = execution.unrecorded(() => linearCrossEntropy(execution, hidden, model.head, targets, 1));
          const { rowScales, ...made } = dpoGradients(batch, losses.toFloat32Array(), referenceLosses, {
            ...options,
            ignoredTarget: options.maskFormatting ? this.#eosToken : -1,
            pairs: units.length,
            chosenTargets,
          });
          const scales = execution.arena.tensor("f32", rowScales.length);
          scales.setFloats(rowScales);
          linearCrossEntropy(execution, hidden, model.head, targets, 1, scales);
          return { result: made, keeps: [] };
        });
        return { routings, read: () => result };
      },
    );
    const pairs = results.flatMap((one) => one.pairs);
    const preferenceLoss = mean(pairs.map(({ loss }) => loss));
    const sftLoss = sumOf(results.map((one) => one.chosenLoss)) / chosenTargets;
    const loss = preferenceLoss + options.sftCoefficient * sftLoss;
    const settings = { maxGradientNorm: options.maxGradientNorm, rates };
    const update = applyGradients(execution, optimizer, loss + routed.routingLoss, settings);
    if (update.updated) this.#average();
    const tokens = batches.reduce((sum, batch) => sum + batch.tokens.length, 0);
    const figures = { preferenceLoss, sftLoss, ...figuresOf(pairs), ...sampled?.figures };
    return { loss, tokens, ...routed, ...update, figures, concerns: concernsOfStep(figures, options.maxAnswerTokens) };
  }

  evaluate(): Figures {
    const { heldOut } = this.#data;
    if (heldOut.length === 0) return this.#watch.measure();
    const { execution, base } = this.#parts;
    const units = heldOut.map(({ unit }) => unit);
    const pairs = packUnits(units, this.#options, this.#padToken).flatMap((batch) => {
      const policy = forwardLoss(execution, base.model, batch, dropless, 1).losses.toFloat32Array();
      execution.arena.reset();
      const settings = { ...this.#options, ignoredTarget: this.#options.maskFormatting ? this.#eosToken : -1 };
      const shares = { pairs: units.length, chosenTargets: 1 };
      return dpoGradients(batch, policy, this.#referenceLosses(batch), { ...settings, ...shares }).pairs;
    });
    const { accuracy, margin } = figuresOf(pairs);
    const figures = { heldOutAccuracy: accuracy!, heldOutMargin: margin! };
    return { heldOutLoss: mean(pairs.map(({ loss }) => loss)), ...figures, ...this.#watch.measure() };
  }

  /** The last policy stands in the checkpoint, its average becomes the model. */
  settle(): boolean {
    for (const { parameter, tensor } of this.#averages) parameter.weight.setBytes(tensor.toBytes());
    return this.#averages.length > 0;
  }

  saveModel(folder: string, facts: Parameters<Stage["saveModel"]>[1]): void {
    saveChatModel(folder, "dpo", this.#options, this.#parts, facts);
  }

  [Symbol.dispose](): void {
    this.#reference[Symbol.dispose]();
    this.#sampler[Symbol.dispose]();
    this.#judge?.[Symbol.dispose]();
    for (const { dispose } of this.#averages) dispose();
  }

  /** Losses of the tokens of a batch by the reference; each row's bits are the same in whatever batch it stands. */
  #referenceLosses(batch: PackedSamples): Float32Array {
    const { execution } = this.#parts;
    const losses = forwardLoss(execution, this.#reference, batch, dropless, 1).losses.toFloat32Array();
    execution.arena.reset();
    return losses;
  }

  /** average += (1 − decay) (weight − average). */
  #average(): void {
    const { pool, arena } = this.#parts.execution;
    for (const { parameter, tensor } of this.#averages) {
      const shared = { pool, sourceDtype: 0, destinationDtype: 0, count: tensor.elements };
      using difference = arena.borrow("f32", ...tensor.shape);
      const destination = difference.tensor;
      axpy({ ...shared, source: parameter.weight, destination, scale: 1, accumulate: 0 });
      axpy({ ...shared, source: tensor, destination, scale: -1, accumulate: 1 });
      axpy({ ...shared, source: destination, destination: tensor, scale: 1 - this.#options.emaDecay, accumulate: 1 });
    }
    arena.reset();
  }

  /** Nothing to learn from: every sampled pair was stale. */
  #emptyStep(figures: Figures): StageStep {
    return { loss: 0, balanceLoss: 0, layers: [], tokens: 0, gradientNorm: 0, updated: true, figures };
  }
}

/** An average begins as what is averaged. */
function averageOf(parameter: Parameter) {
  const { tensor, memory } = Tensor.persistent("f32", parameter.shape);
  tensor.setBytes(parameter.weight.toBytes());
  return { parameter, tensor, dispose: () => memory[Symbol.dispose]() };
}

const mean = (values: readonly number[]) => sumOf(values) / values.length;

function figuresOf(pairs: readonly PairFigures[]): Figures {
  return {
    accuracy: mean(pairs.map(({ margin }) => (margin > 0 ? 1 : margin === 0 ? 0.5 : 0))),
    margin: mean(pairs.map(({ margin }) => margin)),
    chosenLogProbability: mean(pairs.map(({ chosen }) => chosen)),
    rejectedLogProbability: mean(pairs.map(({ rejected }) => rejected)),
    // of the chosen answers: how far the policy has moved from the reference, a token
    driftPerToken: sumOf(pairs.map(({ drift }) => drift)) / Math.max(1, sumOf(pairs.map(({ tokens }) => tokens))),
  };
}

export type DpoGradientSettings = {
  beta: number;
  sftCoefficient: number;
  /** A target that the preference passes over, and the SFT term does not. */
  ignoredTarget: number;
  /** Pairs of the whole update, and targets of their chosen answers: what means are over. */
  pairs: number;
  chosenTargets: number;
};

/**
 * What the loss is scaled by row by row, so that its gradient is that of the mean preference loss plus the SFT term: the gradient of
 * a sum of log-probabilities by one of them is the same for each token of an answer.
 * @param losses −log-probabilities [tokens] of the targets by the policy, `reference` by the reference.
 */
export function dpoGradients(
  batch: PackedSamples,
  losses: Float32Array,
  reference: Float32Array,
  { beta, sftCoefficient, ignoredTarget, pairs: total, chosenTargets }: DpoGradientSettings,
): { rowScales: Float32Array; pairs: PairFigures[]; chosenLoss: number } {
  const rowScales = new Float32Array(losses.length);
  const pairs: PairFigures[] = [];
  let chosenLoss = 0;
  for (const { chosen, rejected } of placesOfPairs(batch)) {
    const rows = { chosen: rowsOf(batch, chosen), rejected: rowsOf(batch, rejected) };
    const counted = {
      chosen: rows.chosen.filter((row) => batch.targets[row] !== ignoredTarget),
      rejected: rows.rejected.filter((row) => batch.targets[row] !== ignoredTarget),
    };
    const sum = (of: Float32Array, which: readonly number[]) => -sumOf(which.map((row) => of[row]!));
    const both = (of: Float32Array) => ({ chosen: sum(of, counted.chosen), rejected: sum(of, counted.rejected) });
    const [policy, before] = [both(losses), both(reference)];
    const result = dpoLoss({ policy, reference: before }, beta);
    for (const row of counted.chosen) rowScales[row]! -= result.gradient / total;
    for (const row of counted.rejected) rowScales[row]! += result.gradient / total;
    for (const row of rows.chosen) rowScales[row]! += sftCoefficient / chosenTargets;
    chosenLoss -= sum(losses, rows.chosen);
    const drift = policy.chosen - before.chosen;
    pairs.push({ ...result, ...policy, drift, tokens: counted.chosen.length });
  }
  return { rowScales, pairs, chosenLoss };
}

/** Rows of a text that have targets. */
function rowsOf({ targets }: PackedSamples, { start, length }: { start: number; length: number }): number[] {
  return Array.from({ length }, (_, i) => start + i).filter((row) => targets[row]! >= 0);
}
