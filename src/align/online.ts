/** Online pairs: the policy answers a prompt several times, and a judge picks the best and the worst of the answers. */
import { hash32, streamKeys } from "../base/random.ts";
import type { Judge, JudgedAnswer } from "./judge.ts";
import type { DpoOptions } from "./options.ts";
import { lengthOf, type Unit } from "./packing.ts";
import type { PairExample } from "./pairs.ts";
import type { Sampler } from "./sampler.ts";
import { promptOf, sampledSample } from "./samples.ts";
import { sumOf } from "./sft.ts";
import type { Figures } from "./stage.ts";

type OnlineSettings = Pick<
  DpoOptions,
  "seed" | "samplesPerPrompt" | "maxAnswerTokens" | "temperature" | "sequenceLength"
>;

/**
 * Best and worst answers to the prompts of `examples`, by random numbers that the step names. Pairs of equal score or equal words,
 * and pairs too long for a row, are dropped and counted.
 */
export function samplePairs(
  sampler: Sampler,
  judge: Judge,
  examples: readonly PairExample[],
  step: number,
  { seed, samplesPerPrompt, maxAnswerTokens, temperature, sequenceLength }: OnlineSettings,
  eosToken: number,
): { units: Unit[]; figures: Figures } {
  const prompts = examples.map(({ unit }) => promptOf(unit[0]!));
  const keys = streamKeys(seed, "online", step);
  const sampled = sampler.answer(prompts, {
    count: samplesPerPrompt,
    maxTokens: maxAnswerTokens,
    temperature,
    seedOf: (prompt) => hash32(keys, prompt),
  });
  const answers = sampled.map(({ prompt, text, ...answer }): JudgedAnswer => {
    return { sample: sampledSample(prompts[prompt]!, answer, eosToken), text, good: examples[prompt]!.value.chosen };
  });
  const scores = judge.score(answers);
  const units: Unit[] = [];
  let [equal, long] = [0, 0];
  for (const those of Map.groupBy(sampled.keys(), (index) => sampled[index]!.prompt).values()) {
    const best = those.reduce((a, b) => (scores[b]! > scores[a]! ? b : a));
    const worst = those.reduce((a, b) => (scores[b]! < scores[a]! ? b : a));
    const unit = [answers[best]!.sample, answers[worst]!.sample];
    if (scores[best] === scores[worst] || unit[0]!.tokens.join() === unit[1]!.tokens.join()) equal++;
    else if (lengthOf(unit) > sequenceLength) long++;
    else units.push(unit);
  }
  const figures = {
    onlinePairs: units.length,
    droppedEqual: equal,
    droppedLong: long,
    reward: sumOf(scores) / Math.max(1, scores.length),
    answerTokens: sumOf(sampled.map(({ tokens }) => tokens.length)) / Math.max(1, sampled.length),
  };
  return { units, figures };
}
