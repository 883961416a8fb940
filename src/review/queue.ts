/** Records that wait for a person, and what was decided: a file of records, and beside it a file that only grows. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { fileError, readTextFile, writeAll, writeJsonLines } from "../base/files.ts";
import { acquireLock, type FileLock } from "../base/lock.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { rookeryVersion } from "../base/version.ts";
import { type Decision, type ReviewProgress, type ReviewReason, type ReviewRecord, reviewActions } from "./decision.ts";
import { reviewKey } from "./fields.ts";

export const decisionsFormat = "rookery-review-decisions/1";

export type ReviewItem = {
  /** Names the record by its contents: decisions stay with it when a queue is written anew or added to. */
  key: string;
  record: ReviewRecord;
  /** 1-based, in the file. */
  line: number;
  why: ReviewReason | null;
};

const reviewReasonSchema = z.object({ reason: z.string(), detail: z.string() });
const decisionSchema = z.object({
  key: z.string(),
  action: z.enum(reviewActions),
  record: z.record(z.string(), z.unknown()).optional(),
  note: z.string().optional(),
});

const mostBytes = 512 * 2 ** 20;

export type QueueEntry = { record: ReviewRecord; why: ReviewReason };

/** An entry as a line of a queue's file has it. */
export const queueLine = ({ record, why }: QueueEntry): ReviewRecord => ({ ...record, [reviewKey]: why });

/** Writes a queue whole, for `ReviewQueue.open`. @throws RookeryError FILE_UNWRITABLE. */
export function writeReviewQueue(file: string, entries: Iterable<QueueEntry>): void {
  writeJsonLines(file, entries, queueLine);
}

export const decisionsFileOf = (file: string): string => `${file}.decisions.jsonl`;

/**
 * What holds for each record by its key, of what people have decided, also on records that have left the queue since.
 * @throws RookeryError RUN_LOCKED while somebody reviews the queue; UNKNOWN_FORMAT, FILE_DAMAGED, FILE_UNREADABLE, FILE_UNWRITABLE.
 */
export function decisionsOn(file: string): ReadonlyMap<string, Decision> {
  const decisionsFile = decisionsFileOf(file);
  if (!fs.existsSync(decisionsFile)) return new Map();
  using _ = acquireLock(`${file}.lock`, `the queue ${file}`);
  const all: DecisionsByKey = new Map();
  for (const decision of readDecisions(decisionsFile)) addDecision(all, decision);
  return new Map([...all].flatMap(([key, those]) => (those.length > 0 ? [[key, those.at(-1)!]] : [])));
}

/** Of each record that is decided: the decisions on it that still hold, the last one counting. */
type DecisionsByKey = Map<string, Decision[]>;

function addDecision(all: DecisionsByKey, decision: Decision): void {
  const ofKey = all.get(decision.key) ?? [];
  if (decision.action === "undo") ofKey.pop();
  else ofKey.push(decision);
  all.set(decision.key, ofKey);
}

/** A queue that this process alone decides on. */
export class ReviewQueue implements Disposable {
  readonly file: string;
  readonly decisionsFile: string;
  readonly items: readonly ReviewItem[];
  readonly #lock: FileLock;
  readonly #descriptor: number;
  readonly #decisions: DecisionsByKey = new Map();
  readonly #order: string[] = [];

  private constructor(file: string, items: ReviewItem[], lock: FileLock) {
    this.file = file;
    this.decisionsFile = decisionsFileOf(file);
    this.items = items;
    this.#lock = lock;
    for (const decision of readDecisions(this.decisionsFile)) this.#take(decision);
    this.#descriptor = openForAppending(this.decisionsFile);
  }

  /**
   * Opens a file of JSON objects, one a line; the same one twice is asked for once.
   * @throws RookeryError FILE_UNREADABLE; BAD_DATA for a line that is no JSON object, and an empty file; RUN_LOCKED while another
   * process reviews it; UNKNOWN_FORMAT and FILE_DAMAGED for its file of decisions; FILE_UNWRITABLE.
   */
  static open(file: string): ReviewQueue {
    const items = readItems(file);
    if (items.length === 0) {
      throw new RookeryError("BAD_DATA", `${file} holds no records`, "give a file of JSON lines");
    }
    const lock = acquireLock(`${file}.lock`, `the queue ${file}`);
    try {
      return new ReviewQueue(file, items, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  get progress(): ReviewProgress {
    const counts = { accepted: 0, rejected: 0, edited: 0 };
    for (const { key } of this.items) {
      const action = this.decisionOn(key)?.action;
      if (action === "accept") counts.accepted++;
      else if (action === "reject") counts.rejected++;
      else if (action === "edit") counts.edited++;
    }
    const total = this.items.length;
    return { total, ...counts, left: total - counts.accepted - counts.rejected - counts.edited };
  }

  /** What holds for a record by its key; undefined while it waits. */
  decisionOn(key: string): Decision | undefined {
    return this.#decisions.get(key)?.at(-1);
  }

  /** The first item that waits, from index `from` on and then from the beginning; undefined when all are decided. */
  nextIndex(from = 0): number | undefined {
    for (let step = 0; step < this.items.length; step++) {
      const index = (from + step) % this.items.length;
      if (this.decisionOn(this.items[index]!.key) === undefined) return index;
    }
    return undefined;
  }

  /** The item that was decided last, to be taken back; undefined when there is none. */
  lastDecided(): ReviewItem | undefined {
    const key = this.#order.at(-1);
    return this.items.find((item) => item.key === key);
  }

  /**
   * Writes a decision, which is on the disk when this returns.
   * @throws RookeryError INVALID_OPTION for an item that is not there, and for an edit without a record; FILE_UNWRITABLE.
   */
  decide(decision: Decision, at: Date): void {
    const { key, action, record, note } = decision;
    if (!this.items.some((item) => item.key === key)) {
      throw new RookeryError("INVALID_OPTION", `no record ${key.slice(0, 40)} waits here`, "reload the queue");
    }
    if ((action === "edit") !== (record !== undefined)) {
      throw new RookeryError(
        "INVALID_OPTION",
        `${action} ${record ? "takes no" : "needs the edited"} record`,
        "mend it",
      );
    }
    if (action === "undo" && this.decisionOn(key) === undefined) return;
    const line = { key, action, ...(record ? { record } : {}), ...(note ? { note } : {}), at: at.toISOString() };
    try {
      writeAll(this.#descriptor, new TextEncoder().encode(`${JSON.stringify(line)}\n`));
      fs.fsyncSync(this.#descriptor);
    } catch (error) {
      throw fileError(error, this.decisionsFile, "write");
    }
    this.#take(decision);
  }

  /** What was accepted, edited records as they were edited, in the order of the queue. */
  accepted(): ReviewRecord[] {
    return this.items.flatMap(({ key, record }) => {
      const decision = this.decisionOn(key);
      if (decision?.action === "edit") return [withoutReason(decision.record!)];
      return decision?.action === "accept" ? [withoutReason(record)] : [];
    });
  }

  [Symbol.dispose](): void {
    fs.closeSync(this.#descriptor);
    this.#lock.release();
  }

  #take(decision: Decision): void {
    addDecision(this.#decisions, decision);
    if (decision.action !== "undo") {
      this.#order.push(decision.key);
      return;
    }
    const last = this.#order.lastIndexOf(decision.key);
    if (last !== -1) this.#order.splice(last, 1);
  }
}

/** The key of a record, whether it waits in a queue or not. */
export function keyOfRecord(record: ReviewRecord): string {
  return createHash("sha256")
    .update(JSON.stringify(withoutReason(record)))
    .digest("hex")
    .slice(0, 32);
}

function withoutReason(record: ReviewRecord): ReviewRecord {
  const { [reviewKey]: _, ...rest } = record;
  return rest;
}

function readItems(file: string): ReviewItem[] {
  const items = new Map<string, ReviewItem>();
  for (const [index, text] of readTextFile(file, mostBytes).split("\n").entries()) {
    if (text.trim() === "") continue;
    const record = parseObject(text);
    if (record === undefined) {
      throw new RookeryError("BAD_DATA", `${file}:${index + 1} is no JSON object`, "give a file of JSON lines");
    }
    const key = keyOfRecord(record);
    const why = reviewReasonSchema.safeParse(record[reviewKey]);
    if (!items.has(key)) items.set(key, { key, record, line: index + 1, why: why.success ? why.data : null });
  }
  return [...items.values()];
}

/** What a killed process had begun to write is taken away; whatever else is no decision is damage. */
function readDecisions(file: string): Decision[] {
  if (!fs.existsSync(file)) return [];
  const text = readTextFile(file, mostBytes);
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole.length < text.length) truncateTo(file, new TextEncoder().encode(whole).length);
  if (whole === "") return [];
  const [head = "", ...lines] = whole.split("\n").slice(0, -1);
  const { format } = parseObject(head) ?? {};
  if (format !== decisionsFormat) {
    throw new RookeryError(
      "UNKNOWN_FORMAT",
      `${file} is not of the format ${decisionsFormat}`,
      "move it away, or review with the Rookery that wrote it",
    );
  }
  return lines.map((line, index) => {
    const parsed = decisionSchema.safeParse(parseObject(line));
    if (parsed.success && (parsed.data.action === "edit") === (parsed.data.record !== undefined)) return parsed.data;
    throw new RookeryError("FILE_DAMAGED", `${file}:${index + 2} is no decision`, "mend or remove that line");
  });
}

function truncateTo(file: string, bytes: number): void {
  try {
    fs.truncateSync(file, bytes);
  } catch (error) {
    throw fileError(error, file, "write");
  }
}

function openForAppending(file: string): number {
  try {
    const descriptor = fs.openSync(file, "a");
    if (fs.fstatSync(descriptor).size === 0) {
      writeAll(
        descriptor,
        new TextEncoder().encode(`${JSON.stringify({ format: decisionsFormat, rookeryVersion })}\n`),
      );
    }
    return descriptor;
  } catch (error) {
    throw fileError(error, file, "write");
  }
}

function parseObject(text: string): ReviewRecord | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isPlainObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
