/** Who says which of several answers is the better one: a trained reward model, or a comparison with the right answer. */
import { RookeryError } from "../base/errors.ts";
import { hash32, streamKeys } from "../base/random.ts";
import { folderOfRunOrDirectory } from "../interop/folders.ts";
import { isRight } from "../tasks/score.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { DpoOptions } from "./options.ts";
import { packUnits } from "./pairs.ts";
import { scoreTexts } from "./reward.ts";
import { loadRewardModel, type RewardModel } from "./reward-directory.ts";
import type { Sample } from "./samples.ts";
import type { StageParts } from "./stage.ts";

/** An answer as text and as tokens after its prompt, and what the record of the prompt says is a good one. */
export type JudgedAnswer = { sample: Sample; text: string; good: string };

export interface Judge extends Disposable {
  /** Changes whenever its judgements might. */
  readonly fingerprint: string;
  /** A number for each answer; higher is better. */
  score(answers: readonly JudgedAnswer[]): number[];
}

/**
 * The judge that the options name; undefined where online pairs are not asked for and no reward model is to be watched.
 * @throws RookeryError INVALID_OPTION for online pairs without a judge, or one that knows other tokens; and as reading it does.
 */
export async function makeJudge(options: DpoOptions, parts: StageParts): Promise<Judge | undefined> {
  const { judge, rewardModel, runsFolder, onlineShare } = options;
  if (judge === "exact-match") return onlineShare > 0 ? exactMatchJudge : undefined;
  if (rewardModel !== undefined) {
    const model = await loadRewardModel(folderOfRunOrDirectory(rewardModel, runsFolder));
    const fault = unfitness(model, options, parts);
    if (fault === undefined) return new RewardJudge(model, options, parts);
    model[Symbol.dispose]();
    throw new RookeryError("INVALID_OPTION", `${rewardModel} ${fault[0]}`, fault[1]);
  }
  if (onlineShare === 0) return undefined;
  throw new RookeryError(
    "INVALID_OPTION",
    `onlineShare ${onlineShare} needs a judge`,
    "name a reward model with --reward-model, judge by --judge exact-match, or leave --online-share out",
  );
}

/** Why a reward model cannot judge this policy, and how to mend it; undefined where it can. */
function unfitness(
  { tokenizer, model: { config } }: RewardModel,
  { sequenceLength }: DpoOptions,
  { base }: StageParts,
): readonly [string, string] | undefined {
  if (sequenceLength > config.maxPositionEmbeddings) {
    return [
      `has ${config.maxPositionEmbeddings} positions, rows have ${sequenceLength}`,
      `give --sequence-length ${config.maxPositionEmbeddings} or less`,
    ];
  }
  // it reads the policy's ids: a token that means another text is another text
  if (hasSameTokens(tokenizer, base.tokenizer)) return undefined;
  return ["has another tokenizer than the policy", "train it from the same model as the policy"];
}

function hasSameTokens(a: Tokenizer, b: Tokenizer): boolean {
  if (a.vocabularySize !== b.vocabularySize) return false;
  for (let id = 0; id < a.vocabularySize; id++) {
    if (Buffer.compare(a.tokenBytes(id), b.tokenBytes(id)) !== 0) return false;
  }
  return true;
}

/** 1 for the answer that the record calls good, else 0: for prompts that have one right answer. */
const exactMatchJudge: Judge = {
  fingerprint: "exact-match",
  score: (answers) => answers.map(({ text, good }) => (isRight({ answer: good }, text) ? 1 : 0)),
  [Symbol.dispose]() {},
};

class RewardJudge implements Judge {
  readonly fingerprint: string;
  readonly #model: RewardModel;
  readonly #options: DpoOptions;
  readonly #parts: StageParts;

  constructor(model: RewardModel, options: DpoOptions, parts: StageParts) {
    this.#model = model;
    this.#options = options;
    this.#parts = parts;
    this.fingerprint = String(hash32(streamKeys(0, Buffer.from(model.head.weight.toBytes()).toString("latin1")), 0));
  }

  score(answers: readonly JudgedAnswer[]): number[] {
    const { model, head, tokenizer } = this.#model;
    const scores = new Array<number>(answers.length).fill(0);
    const units = answers.map(({ sample }) => [sample]);
    for (const batch of packUnits(units, this.#options, tokenizer.controlId("pad"))) {
      const those = scoreTexts(this.#parts.execution, model, head, batch);
      for (const [i, { unit }] of batch.placed.entries()) scores[unit] = those[i]!;
    }
    return scores;
  }

  [Symbol.dispose](): void {
    this.#model[Symbol.dispose]();
  }
}
