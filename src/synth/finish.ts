/** The end of a run: filters over the whole set, what people have decided, and the files of it all. */
import fs from "node:fs";
import type { CommandContext } from "../base/events.ts";
import type { Decision } from "../review/decision.ts";
import { reviewKey } from "../review/fields.ts";
import { decisionsOn, keyOfRecord, queueLine } from "../review/queue.ts";
import { chatRecord, writeParquet } from "./chat-output.ts";
import type { FilterContext, SetFilter, SetVerdict } from "./filter.ts";
import { LineFile } from "./line-file.ts";
import type { EvolvePayload, StepKind } from "./pipeline.ts";
import { noCost, type SynthRecord } from "./record.ts";
import type { SynthPaths } from "./run-files.ts";
import type { RunStore } from "./run-store.ts";
import { type Judgement, judgementOf } from "./steps/judge.ts";

export type SetCounts = {
  records: number;
  kept: number;
  review: number;
  rejected: number;
  /** By step and reason: "filter: inconsistent". */
  reasons: Record<string, number>;
};

/** Records between two turns of the event loop. */
const turnEvery = 100;

type Review = NonNullable<SynthRecord["review"]>;

/**
 * Writes the records, the data and the review queue of what is finished. Doing it again with the same state writes the same files.
 * @throws RookeryError RUN_LOCKED while somebody reviews the queue; FILE_UNWRITABLE; as the filter does; the signal's reason.
 */
export async function writeOutputs(
  store: RunStore,
  paths: SynthPaths,
  filter: SetFilter,
  context: FilterContext & Pick<CommandContext, "onEvent">,
): Promise<SetCounts> {
  const decisions = decisionsOn(paths.review);
  using records = new LineFile(paths.records);
  using data = new LineFile(paths.data);
  using queue = new LineFile(paths.review);
  const counts: SetCounts = { records: 0, kept: 0, review: 0, rejected: 0, reasons: {} };
  const decided = (record: SynthRecord): SynthRecord => {
    if (!record.review) return record;
    return withDecision(record, record.review, decisions.get(keyOfRecord(chatRecord(record, record.review.answer))));
  };
  const ask = (record: SynthRecord): void => {
    if (!record.review) return;
    const { answer, reason, detail } = record.review;
    queue.add(queueLine({ record: chatRecord(record, answer), why: { reason, detail } }));
  };
  const put = (record: SynthRecord): void => {
    records.add(record);
    counts.records += 1;
    if (record.kept !== undefined) {
      counts.kept += 1;
      data.add(chatRecord(record, record.kept));
    } else if (record.rejected) {
      counts.rejected += 1;
      const reason = `${record.rejected.step}: ${record.rejected.reason}`;
      counts.reasons[reason] = (counts.reasons[reason] ?? 0) + 1;
    } else counts.review += 1;
  };
  for (const kind of ["generate", "evolve", "answer"] as const) {
    for (const record of rejectedBy(store, kind)) put(record);
  }
  const { done, failed } = store.jobs.counts("filter");
  let looked = 0;
  const verdicts = filter(keptOf(judged(store), decided), context)[Symbol.asyncIterator]();
  try {
    // read a second time: any number of records may lie between one that the filter sees and its verdict
    for (const doubtful of judged(store)) {
      if (++looked % turnEvery === 0) {
        context.onEvent?.({ type: "progress", what: "filtering", done: looked, total: done + failed, unit: "records" });
        // nothing here waits for anything: signals would not be heard
        await new Promise((resolve) => setImmediate(resolve));
        context.signal?.throwIfAborted();
      }
      ask(doubtful);
      const record = decided(doubtful);
      put(record.kept === undefined ? record : withVerdict(record, (await verdicts.next()).value));
    }
  } finally {
    await verdicts.return?.();
  }
  records.commit();
  data.commit();
  await writeParquet(paths.data, paths.parquet);
  // a queue that was there stays, with the decisions on it
  if (queue.lines > 0 || fs.existsSync(paths.review)) queue.commit();
  return counts;
}

/** What a step sorted out, and what it could not do: its requests failed each time. */
function* rejectedBy({ jobs }: RunStore, kind: StepKind): Generator<SynthRecord> {
  for (const { key, state, payload, result, reason } of jobs.listByKey(kind)) {
    if (state === "done") yield* result as SynthRecord[];
    if (state !== "failed") continue;
    const rejected = { step: kind, reason: "endpoint-failed", detail: reason ?? "" };
    if (kind === "generate") yield { ...unmade(key, payload as { domain: string; language: string }), rejected };
    else {
      const record = kind === "evolve" ? (payload as EvolvePayload).record : (payload as SynthRecord);
      yield { ...record, step: kind, rejected };
    }
  }
}

/** Stands for the instructions of a request that was never answered. */
function unmade(key: string, { domain, language }: { domain: string; language: string }): SynthRecord {
  return {
    ...{ id: key, parentId: null, seed: "", step: "generate", domain, language, instruction: "", answerKind: "text" },
    ...{ variant: "", difficulty: "medium", answers: [], model: "", promptVersion: "", requestHash: "", cost: noCost },
  };
}

/** What the filters over the whole set see: with the kept answer alone. What a person has accepted is among it. */
async function* keptOf(
  records: Iterable<SynthRecord>,
  decided: (record: SynthRecord) => SynthRecord,
): AsyncGenerator<SynthRecord> {
  for (const doubtful of records) {
    const record = decided(doubtful);
    if (record.kept !== undefined) yield { ...record, answers: [record.answers[record.kept]!], kept: 0 };
  }
}

function withVerdict(record: SynthRecord, verdict: SetVerdict | undefined): SynthRecord {
  if (verdict?.id !== record.id) throw new Error(`a filter answers for ${verdict?.id}, not for ${record.id}`);
  return verdict.decision === "keep" ? record : withJudgement(record, judgementOf(verdict));
}

/** The records that came to the filters, in the order of the set. */
function* judged({ jobs }: RunStore): Generator<SynthRecord> {
  for (const { state, payload, result, reason } of jobs.listByKey("filter")) {
    const record = payload as SynthRecord;
    if (state === "done") yield withJudgement(record, result as Judgement);
    if (state === "failed") {
      yield withJudgement(record, { rejected: { step: "filter", reason: "endpoint-failed", detail: reason ?? "" } });
    }
  }
}

function withJudgement(record: SynthRecord, judgement: Judgement): SynthRecord {
  const { kept: _, ...rest } = record;
  return { ...rest, step: "filter", ...judgement };
}

/** A record that a person was asked about, as that person left it. */
function withDecision(record: SynthRecord, review: Review, decided: Decision | undefined): SynthRecord {
  if (!decided) return record;
  const { review: _, ...rest } = record;
  if (decided.action === "reject") {
    return { ...rest, rejected: { step: "filter", reason: "reviewer", detail: `${review.reason}: ${review.detail}` } };
  }
  const [instruction, answer] = decided.action === "edit" ? textsOf(decided.record) : [];
  const answers = record.answers.map((one, index) =>
    index === review.answer && answer !== undefined ? { ...one, text: answer } : one,
  );
  return { ...rest, instruction: instruction ?? record.instruction, answers, kept: review.answer };
}

/** Instruction and answer of an edited conversation. */
function textsOf(record: Decision["record"]): (string | undefined)[] {
  const { [reviewKey]: _, messages } = record ?? {};
  const turns = Array.isArray(messages) ? (messages as { role?: unknown; content?: unknown }[]) : [];
  return ["user", "assistant"].map((role) => {
    const content = turns.findLast((turn) => turn.role === role)?.content;
    return typeof content === "string" ? content : undefined;
  });
}
