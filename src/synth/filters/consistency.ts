/** The answer that most samples agree on, once each is reduced to its value. */
import type { SynthAnswer, SynthRecord } from "../record.ts";
import { behaviorOf, type CodeBounds } from "./code.ts";
import { type Comparable, comparableOf, isSameAnswer } from "./comparable.ts";
import type { Fault } from "./rules.ts";

/** A sample by what it says. Texts without one right answer have no comparable value. */
export async function readSample(
  answer: SynthAnswer,
  record: Pick<SynthRecord, "instruction" | "answerKind">,
  bounds: CodeBounds,
): Promise<{ value: Comparable } | { fault: Fault }> {
  if (record.answerKind === "text") return { value: { key: answer.text } };
  if (record.answerKind === "code") {
    const ran = await behaviorOf(answer.text, bounds);
    if ("fault" in ran) return { fault: { reason: ran.fault, detail: ran.detail } };
    return { value: { key: JSON.stringify(ran.behavior), behavior: ran.behavior } };
  }
  const value = comparableOf(record.answerKind, answer.text, record.instruction);
  if (value !== undefined) return { value };
  return { fault: { reason: "malformed", detail: `no ${record.answerKind} in: …${answer.text.slice(-80)}` } };
}

export type Sample = { index: number; value: Comparable };
export type Vote = { value: Comparable; samples: Sample[] };

/** Samples in groups that say the same, the largest first; of equal ones that which came first. */
export function votesOf(samples: readonly Sample[]): Vote[] {
  const votes: Vote[] = [];
  for (const sample of samples) {
    const same = votes.find(({ value }) => isSameAnswer(value, sample.value));
    if (same) same.samples.push(sample);
    else votes.push({ value: sample.value, samples: [sample] });
  }
  return votes.sort((a, b) => b.samples.length - a.samples.length);
}

/** Whether an answer is known to be right or wrong: by the truth of its record, compared as the samples are. */
export function isRightAnswer(
  answer: Pick<SynthAnswer, "text">,
  { truth, answerKind, instruction }: Pick<SynthRecord, "truth" | "answerKind" | "instruction">,
): boolean | undefined {
  if (truth === undefined || answerKind === "text" || answerKind === "code") return undefined;
  const [said, right] = [answer.text, truth].map((text) => comparableOf(answerKind, text, instruction));
  if (right === undefined) return undefined;
  return said !== undefined && isSameAnswer(said, right);
}
