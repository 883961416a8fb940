/** What became of the instructions that a run was to make from its seeds. Tasks and evolved instructions are not among them. */
import type { Jobs } from "../jobs/jobs.ts";
import type { Draw } from "./mixture.ts";
import type { SynthRecord } from "./record.ts";
import { taskSeedPrefix } from "./steps/answer.ts";

export type InstructionCounts = {
  /** `records` of the configuration: the sum of all that follow. */
  wanted: number;
  /** The seeds do not give rise to so many: questions are asked once each. */
  withoutSeed: number;
  /** Not asked for yet. */
  waiting: number;
  /** Asked for in requests that failed, or gave nothing that can be read. */
  unanswered: number;
  /** Asked for, and not among what came back. */
  leftOut: number;
  /** Sorted out by the rules of the first step. */
  rejected: number;
  /** Went on to the next steps. */
  usable: number;
};

/** Reads every job of the first and the third step once. */
export function countInstructions(jobs: Jobs, wanted: number): InstructionCounts {
  const counts = { waiting: 0, unanswered: 0, rejected: 0, usable: 0 };
  let [drawn, answered] = [0, 0];
  for (const { state, payload, result } of jobs.list({ kind: "generate" })) {
    const { count } = payload as Draw;
    drawn += count;
    const sortedOut = state === "done" ? (result as SynthRecord[]) : [];
    // what stands for a failed request has neither text nor request
    const hasFailed = sortedOut.some(({ instruction, requestHash }) => instruction === "" && requestHash === "");
    const isAnswered = state === "done" && !hasFailed;
    if (isAnswered) {
      answered += count;
      counts.rejected += sortedOut.length;
    } else counts[state === "done" || state === "failed" ? "unanswered" : "waiting"] += count;
  }
  for (const { payload } of jobs.list({ kind: "answer" })) {
    const { parentId, seed } = payload as SynthRecord;
    if (parentId === null && !seed.startsWith(taskSeedPrefix)) counts.usable += 1;
  }
  return { wanted, withoutSeed: wanted - drawn, leftOut: answered - counts.rejected - counts.usable, ...counts };
}

/** Why there are fewer than were wanted, each in words; empty where there are as many. */
export function shortfallOf(counts: InstructionCounts): { count: number; why: string }[] {
  const { withoutSeed, waiting, unanswered, leftOut, rejected } = counts;
  return [
    { count: withoutSeed, why: "without a seed (questions are asked once each)" },
    { count: waiting, why: "not asked for yet" },
    { count: unanswered, why: "asked for in requests that failed or gave nothing readable" },
    { count: leftOut, why: "asked for and not written by the model" },
    { count: rejected, why: "rejected in the first step" },
  ].filter(({ count }) => count > 0);
}
