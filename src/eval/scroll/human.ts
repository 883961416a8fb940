/** A sample of verdicts for a person: whether the judge graded as they would. */
import fs from "node:fs";
import { decisionsFileOf, ReviewQueue, writeReviewQueue } from "../../review/queue.ts";
import { Draws } from "../../tasks/random.ts";
import type { JudgedResponse, JudgedScore } from "./judge.ts";
import type { ScrollRecord } from "./record.ts";
import type { ScrollScore } from "./scores.ts";

/**
 * Writes the sample once: what is decided on it stays with it. Answers that were graded without a judge are no part of it.
 * @returns whether there is a sample: a judge may have graded nothing.
 */
export function writeHumanSample(
  file: string,
  items: readonly { record: ScrollRecord; score: JudgedScore; response: JudgedResponse | undefined }[],
  { count, seed }: { count: number; seed: number },
): boolean {
  if (fs.existsSync(file)) return true;
  const graded = items.filter(({ record, score }) => record.check === null && score.score !== null);
  if (graded.length === 0) return false;
  const sample = new Draws(seed, "human sample").sample(graded, Math.min(count, graded.length));
  writeReviewQueue(
    file,
    sample.map(({ record, score, response }) => ({
      record: {
        ...{ question: record.question, reference: record.answer, answer: response?.response ?? "" },
        ...{ score: score.score, analysis: score.analysis ?? "", input_md5: record.key },
      },
      why: { reason: "sample", detail: "accept the judge's score, reject it, or edit it (0 to 1)" },
    })),
  );
  return true;
}

/** The scores of the person: the judge's where they accepted it, its opposite where they rejected it, their own where they edited it. */
export function humanScores(file: string): ScrollScore[] {
  if (!fs.existsSync(decisionsFileOf(file))) return [];
  using queue = ReviewQueue.open(file);
  return queue.items.flatMap(({ key, record }): ScrollScore[] => {
    const decision = queue.decisionOn(key);
    const [id, judged] = [record.input_md5, record.score];
    if (!decision || typeof id !== "string" || typeof judged !== "number") return [];
    const edited = Number(decision.record?.score);
    const score = decision.action === "accept" ? judged : decision.action === "reject" ? Number(judged < 0.5) : edited;
    return Number.isFinite(score) ? [{ key: id, score: Math.min(1, Math.max(0, score)), reason: null }] : [];
  });
}
