/** Online pairs: the policy answers a prompt several times, and a reward model picks the best and the worst of the answers. */

import { RookeryError } from "../base/errors.ts";
import { hash32, streamKeys } from "../base/random.ts";
import { Engine } from "../engine/engine.ts";
import { stopTokenIds } from "../engine/generate.ts";
import { engineOptionsSchema, settleOptions } from "../engine/options.ts";
import type { DpoOptions } from "./options.ts";
import { lengthOf, type Unit } from "./packing.ts";
import { type PairExample, packUnits } from "./pairs.ts";
import { scoreTexts } from "./reward.ts";
import type { RewardModel } from "./reward-directory.ts";
import type { Sample } from "./samples.ts";
import { sumOf } from "./sft.ts";
import type { Figures, StageParts } from "./stage.ts";

/** An answer as it was sampled. */
type Answer = { prompt: number; sample: Sample; length: number };

export class OnlinePairs implements Disposable {
  /** Names the judge. */
  readonly fingerprint: string;
  readonly #options: DpoOptions;
  readonly #parts: StageParts;
  readonly #judge: RewardModel;
  readonly #engine: Engine;
  readonly #padToken: number;
  readonly #eosToken: number;

  /** @throws RookeryError INVALID_OPTION for a judge that knows other tokens. */
  constructor(options: DpoOptions, parts: StageParts, judge: RewardModel) {
    const { model, tokenizer } = parts.base;
    if (judge.tokenizer.vocabularySize !== tokenizer.vocabularySize) {
      throw new RookeryError(
        "INVALID_OPTION",
        `${options.rewardModel} has ${judge.tokenizer.vocabularySize} tokens, the policy ${tokenizer.vocabularySize}`,
        "train the reward model from the same model",
      );
    }
    this.#options = options;
    this.#parts = parts;
    this.#judge = judge;
    this.fingerprint = String(hash32(streamKeys(0, Buffer.from(judge.head.weight.toBytes()).toString("latin1")), 0));
    this.#padToken = tokenizer.controlId("pad");
    this.#eosToken = tokenizer.controlId("eos");
    const maxModelLength = options.sequenceLength;
    const batch = Math.min(256, options.batchPairs * options.samplesPerPrompt);
    const pageBytes = 64 * 4 * 2 * model.config.numHiddenLayers * model.config.numKeyValueHeads * model.config.headDim;
    const settings = engineOptionsSchema.parse({
      computeType: options.computeType,
      maxModelLength,
      maxBatch: batch,
      queueLimit: options.batchPairs,
      cacheBytes: Math.min(256, batch) * Math.ceil(maxModelLength / 64) * pageBytes,
    });
    this.#engine = new Engine({ execution: parts.execution, model, tokenizer }, settleOptions(settings, model.config));
  }

  /** Best and worst answers to the prompts of `examples`, sampled by random numbers that the step names. */
  sample(step: number, examples: readonly PairExample[]): { units: Unit[]; figures: Figures } {
    const answers = this.#answer(step, examples);
    const scores = this.#score(answers);
    const units: Unit[] = [];
    let [equal, long] = [0, 0];
    for (const those of Map.groupBy(answers.keys(), (index) => answers[index]!.prompt).values()) {
      const best = those.reduce((a, b) => (scores[b]! > scores[a]! ? b : a));
      const worst = those.reduce((a, b) => (scores[b]! < scores[a]! ? b : a));
      const unit = [answers[best]!.sample, answers[worst]!.sample];
      if (scores[best] === scores[worst] || unit[0]!.tokens.join() === unit[1]!.tokens.join()) equal++;
      else if (lengthOf(unit) > this.#options.sequenceLength) long++;
      else units.push(unit);
    }
    const figures = {
      onlinePairs: units.length,
      droppedEqual: equal,
      droppedLong: long,
      reward: sumOf(scores) / Math.max(1, scores.length),
      answerTokens: sumOf(answers.map(({ length }) => length)) / Math.max(1, answers.length),
    };
    return { units, figures };
  }

  [Symbol.dispose](): void {
    this.#engine[Symbol.dispose]();
    this.#judge[Symbol.dispose]();
  }

  #answer(step: number, examples: readonly PairExample[]): Answer[] {
    const { execution, base } = this.#parts;
    const { seed, samplesPerPrompt, maxAnswerTokens, temperature, sequenceLength, computeType } = this.#options;
    base.model.keepPacked(execution.pool, computeType);
    this.#engine.weightsChanged();
    const prompts = new Map<number, { number: number; prompt: Int32Array; answers: number[][] }>();
    for (const [number, { unit }] of examples.entries()) {
      const { tokens, targets } = unit[0]!;
      const prompt = tokens.slice(0, targets.findIndex((target) => target >= 0) + 1);
      const id = this.#engine.add({
        prompt,
        count: samplesPerPrompt,
        maxTokens: Math.min(maxAnswerTokens, sequenceLength - prompt.length),
        sampling: { temperature },
        seed: hash32(streamKeys(seed, "online", step), number),
        stopTokenIds: stopTokenIds(base.tokenizer, base.generation.eosTokenIds),
        stopStrings: [],
      });
      prompts.set(id, { number, prompt, answers: Array.from({ length: samplesPerPrompt }, () => []) });
    }
    const done: Answer[] = [];
    while (this.#engine.hasWork) {
      for (const output of this.#engine.step()) {
        if (output.type === "failed") throw new RookeryError(output.code, output.message, output.hint);
        if (output.type !== "event") continue;
        const { number, prompt, answers } = prompts.get(output.id)!;
        const { event } = output;
        if (event.type === "token") answers[event.index]!.push(event.token);
        else if (event.type === "finished") {
          const words = answers[event.index]!;
          const answer = event.reason === "stop" ? [...words, this.#eosToken] : words;
          done.push({ prompt: number, sample: answerSample(prompt, answer), length: answer.length });
        }
      }
    }
    for (const parameter of base.model.parameters.values()) parameter.forgetPacked();
    return done;
  }

  #score(answers: readonly Answer[]): number[] {
    const units = answers.map(({ sample }) => [sample]);
    const scores = new Array<number>(answers.length).fill(0);
    for (const batch of packUnits(units, this.#options, this.#padToken)) {
      const those = scoreTexts(this.#parts.execution, this.#judge.model, this.#judge.head, batch);
      for (const [i, { unit }] of batch.placed.entries()) scores[unit] = those[i]!;
    }
    return scores;
  }
}

function answerSample(prompt: Int32Array, answer: readonly number[]): Sample {
  const tokens = Int32Array.of(...prompt, ...answer);
  const targets = new Int32Array(tokens.length).fill(-1);
  for (let i = prompt.length; i < tokens.length; i++) targets[i - 1] = tokens[i]!;
  return { tokens, targets };
}
