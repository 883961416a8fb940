/**
 * Watches a policy for reward hacking: how far it has moved from the reference, how long its answers have become, what the judge
 * says of them, and, where questions with right answers are given, whether they are right.
 */
import { hash32, streamKeys } from "../base/random.ts";
import { dropless } from "../model/router.ts";
import type { Transformer } from "../model/transformer.ts";
import { forwardLoss } from "../train/step.ts";
import { type ExamQuestion, takeExam } from "./exam.ts";
import type { Judge } from "./judge.ts";
import type { DpoOptions } from "./options.ts";
import type { PackedSamples } from "./packing.ts";
import { type PairExample, packUnits } from "./pairs.ts";
import type { Sampler } from "./sampler.ts";
import { promptOf, sampledSample } from "./samples.ts";
import { sumOf } from "./sft.ts";
import type { Figures, StageParts } from "./stage.ts";

/** What a policy is watched on: prompts that nothing is learnt from, and questions with right answers, encoded. */
export type Watched = { prompts: readonly PairExample[]; questions: ExamQuestion[]; exam: Int32Array[] };

export class PolicyWatch {
  readonly #options: DpoOptions;
  readonly #parts: StageParts;
  readonly #reference: Transformer;
  readonly #sampler: Sampler;
  readonly #judge: Judge | undefined;
  readonly #watched: Watched;

  /** Everything is borrowed. */
  constructor(
    options: DpoOptions,
    parts: StageParts,
    reference: Transformer,
    sampler: Sampler,
    judge: Judge | undefined,
    watched: Watched,
  ) {
    this.#options = options;
    this.#parts = parts;
    this.#reference = reference;
    this.#sampler = sampler;
    this.#judge = judge;
    this.#watched = watched;
  }

  measure(): Figures {
    return { ...this.#sampleFigures(), ...this.#examFigures() };
  }

  /** Of one answer to each prompt, sampled at temperature 1 by the same random numbers at every measurement. */
  #sampleFigures(): Figures {
    const { prompts: examples } = this.#watched;
    if (examples.length === 0) return {};
    const { execution, base } = this.#parts;
    const eosToken = base.tokenizer.controlId("eos");
    const prompts = examples.map(({ unit }) => promptOf(unit[0]!));
    const keys = streamKeys(this.#options.seed, "watch");
    const sampled = this.#sampler.answer(prompts, {
      count: 1,
      maxTokens: this.#options.maxAnswerTokens,
      temperature: 1,
      seedOf: (prompt) => hash32(keys, prompt),
    });
    const answers = sampled.map((answer, i) => {
      const sample = sampledSample(prompts[i]!, answer, eosToken);
      return { sample, text: answer.text, good: examples[i]!.value.chosen };
    });
    const units = answers.map(({ sample }) => [sample]);
    const negativeLogProbability = (model: Transformer, batch: PackedSamples) => {
      const sum = sumOf(forwardLoss(execution, model, batch, dropless, 1).losses.toFloat32Array());
      execution.arena.reset();
      return sum;
    };
    const divergences = packUnits(units, this.#options, base.tokenizer.controlId("pad")).map(
      (batch) => negativeLogProbability(this.#reference, batch) - negativeLogProbability(base.model, batch),
    );
    const scores = this.#judge?.score(answers);
    return {
      // Σ (log π − log reference) over answers of the policy: an unbiased estimate of KL(π, reference), in nats an answer
      divergence: sumOf(divergences) / answers.length,
      sampledTokens: sumOf(sampled.map(({ tokens }) => tokens.length)) / answers.length,
      ...(scores ? { sampledReward: sumOf(scores) / scores.length } : {}),
    };
  }

  #examFigures(): Figures {
    const { questions, exam } = this.#watched;
    if (questions.length === 0) return {};
    const answers = takeExam(this.#sampler, questions, exam, { maxAnswerTokens: this.#options.maxAnswerTokens });
    return {
      examExactMatch: answers.filter(({ isRight }) => isRight).length / answers.length,
      examQuestions: answers.length,
    };
  }
}

/** A chosen answer that is this much less likely than before, in nats a token, is being unlearnt. */
const mostDrift = 1;
/** Answers that on average take this share of their limit do not end by themselves. */
const longAnswers = 0.9;
/** Answers that have become this many times as long, or as short, have found that length pays. */
const lengthChange = 2;
/** A fall of the exact match by this many standard errors of the difference is no chance. */
const standardErrors = 2;

/** Signs of a policy that is going wrong, in the figures of one step. */
export function concernsOfStep({ driftPerToken, answerTokens }: Figures, maxAnswerTokens: number): string[] {
  const concerns: string[] = [];
  if (driftPerToken !== null && driftPerToken !== undefined && driftPerToken < -mostDrift) {
    concerns.push(
      `chosen answers have become less likely by more than ${mostDrift} nat a token: raise --sft-coefficient or --beta, or lower --learning-rate`,
    );
  }
  if (answerTokens !== null && answerTokens !== undefined && answerTokens > longAnswers * maxAnswerTokens) {
    concerns.push(
      `sampled answers run into --max-answer-tokens ${maxAnswerTokens}: the reward may pay for length, or answers no longer end`,
    );
  }
  return concerns;
}

/** Signs of a policy that is going wrong, in its measurements from the first to the newest. */
export function concernsOfHistory(measurements: readonly Figures[]): string[] {
  const [first, last] = [measurements[0], measurements.at(-1)];
  if (!first || !last || first === last) return [];
  const concerns: string[] = [];
  const shares = measurements.flatMap(({ examExactMatch: share }) => (typeof share === "number" ? [share] : []));
  const [now, best] = [shares.at(-1) ?? 0, Math.max(0, ...shares)];
  const questions = last.examQuestions ?? 1;
  const error = Math.sqrt((now * (1 - now) + best * (1 - best)) / questions);
  if (best - now > standardErrors * error) {
    const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
    const at = measurements.find(({ examExactMatch }) => examExactMatch === best)!;
    const hasRisen = (last.sampledReward ?? 0) > (at.sampledReward ?? 0);
    concerns.push(
      hasRisen
        ? `reward hacking: the reward has risen while right answers have fallen from ${percent(best)} to ${percent(now)}`
        : `right answers have fallen from ${percent(best)} to ${percent(now)}`,
    );
  }
  const [before, after] = [first.sampledTokens, last.sampledTokens];
  if (before && after && Math.max(after / before, before / after) > lengthChange) {
    concerns.push(
      `answers had ${before.toFixed(1)} tokens and now have ${after.toFixed(1)}: the reward may pay for length`,
    );
  }
  return concerns;
}
