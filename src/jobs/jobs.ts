/**
 * Resumable work of any kind (a sweep, synthesis, a grid of evaluations): jobs in one SQLite file that outlives the process.
 *
 * One process writes at a time, so every function is synchronous and each call is a transaction of its own: what `finish` has
 * returned from survives SIGKILL. (A power cut may take the last moments, never the file.) When there are many machines, a
 * table in Postgres with these functions takes this place.
 */
import { DatabaseSync } from "node:sqlite";
import { RookeryError } from "../base/errors.ts";
import { quoteForMessage } from "../base/files.ts";
import { acquireLock, type FileLock } from "../base/lock.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { stableJson } from "../base/stable-json.ts";

export type JobState = "pending" | "running" | "done" | "failed";

/**
 * `key` names a job within its kind, for good: adding it again changes nothing. Work in stages has a kind a stage; the
 * payload is any JSON value.
 */
export type NewJob = { kind: string; key: string; payload: unknown };

export type Job = NewJob & {
  /** Counts up in the order in which jobs were added. */
  id: number;
  state: JobState;
  /** What `finish` was given the last time, or null. */
  result: unknown;
  /** Why it failed, or null. */
  reason: string | null;
  /** How often it was claimed, those times included in which the process died. */
  attempts: number;
  /** Milliseconds since 1970. */
  createdAt: number;
  updatedAt: number;
};

export type JobFilter = { kind?: string; state?: JobState };

/** "Rook", as SQLite's header names the program that a file belongs to. */
const applicationId = 0x526f6f6b;
const formatVersion = 1;
const rowsAtOnce = 256;

const tables = `
  CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'running', 'done', 'failed')),
    payload TEXT NOT NULL,
    result TEXT,
    reason TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (kind, key)
  ) STRICT;
  CREATE INDEX jobs_by_state ON jobs (kind, state, id);
  CREATE TABLE items (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE remembered (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${formatVersion};
`;

/** A file of jobs that this process holds alone. Made by `openJobs`. */
export class Jobs implements Disposable {
  readonly path: string;
  readonly #database: DatabaseSync;
  readonly #lock: FileLock;
  readonly #statements = new Map<string, ReturnType<DatabaseSync["prepare"]>>();

  constructor(path: string, database: DatabaseSync, lock: FileLock) {
    this.path = path;
    this.#database = database;
    this.#lock = lock;
  }

  /** Adds what is not there yet, all or nothing. @returns how many were new. */
  add(jobs: Iterable<NewJob>): number {
    return this.atomically(() => {
      let added = 0;
      const now = Date.now();
      for (const { kind, key, payload } of jobs) {
        const { changes } = this.#run(
          `INSERT INTO jobs (kind, key, payload, created_at, updated_at) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (kind, key) DO NOTHING`,
          [kind, key, jsonOf(payload), now, now],
        );
        added += changes;
      }
      return added;
    });
  }

  /** Takes up to `most` pending jobs of a kind, the first added first: they are running now. */
  claim(kind: string, most = 1): Job[] {
    return this.atomically(() => {
      const found = this.#rows("SELECT * FROM jobs WHERE kind = ? AND state = 'pending' ORDER BY id LIMIT ?", [
        kind,
        most,
      ]).map(jobOf);
      const updatedAt = Date.now();
      for (const { id } of found) {
        this.#run("UPDATE jobs SET state = 'running', attempts = attempts + 1, updated_at = ? WHERE id = ?", [
          updatedAt,
          id,
        ]);
      }
      return found.map((job) => ({ ...job, state: "running", attempts: job.attempts + 1, updatedAt }));
    });
  }

  /** A running job is done. What follows from it (`next`: the jobs of the next stage) is added in the same transaction. */
  finish(id: number, result: unknown, next: Iterable<NewJob> = []): void {
    this.atomically(() => {
      this.#leaveRunning(id, "done", jsonOf(result), null);
      this.add(next);
    });
  }

  /** A running job cannot be done. It stays failed until `retryFailed`. */
  fail(id: number, reason: string): void {
    this.#leaveRunning(id, "failed", null, reason);
  }

  /** A running job goes back to those that wait, as if it had not been claimed: the user stopped the work. */
  release(id: number): void {
    const sql = `UPDATE jobs SET state = 'pending', attempts = attempts - 1, updated_at = ? WHERE id = ? AND state = 'running'`;
    this.#changeOne(id, this.#run(sql, [Date.now(), id]).changes);
  }

  /** Failed jobs wait again. @returns how many. */
  retryFailed(kind: string): number {
    return this.#run(
      "UPDATE jobs SET state = 'pending', reason = NULL, updated_at = ? WHERE kind = ? AND state = 'failed'",
      [Date.now(), kind],
    ).changes;
  }

  /** Jobs that are done or failed wait again, with the result of the last time until there is another. @returns how many. */
  reopen(kind: string): number {
    return this.#run(
      `UPDATE jobs SET state = 'pending', reason = NULL, updated_at = ? WHERE kind = ? AND state IN ('done', 'failed')`,
      [Date.now(), kind],
    ).changes;
  }

  /** The job of that name, whatever its state. */
  find(kind: string, key: string): Job | undefined {
    return this.#rows("SELECT * FROM jobs WHERE kind = ? AND key = ?", [kind, key]).map(jobOf)[0];
  }

  /** Jobs in the order in which they were added, a few rows in memory at a time; they may change meanwhile. */
  *list({ kind, state }: JobFilter = {}): Generator<Job> {
    const sql = `SELECT * FROM jobs WHERE id > ? ${kind === undefined ? "" : "AND kind = ?"} ${state === undefined ? "" : "AND state = ?"}
      ORDER BY id LIMIT ${rowsAtOnce}`;
    const wanted = [kind, state].filter((value) => value !== undefined);
    for (let last = 0; ; ) {
      const rows = this.#rows(sql, [last, ...wanted]).map(jobOf);
      yield* rows;
      if (rows.length < rowsAtOnce) return;
      last = rows.at(-1)!.id;
    }
  }

  /** Jobs of a kind in the order of their keys (by bytes), which does not depend on what happened to be done first. */
  *listByKey(kind: string): Generator<Job> {
    const sql = `SELECT * FROM jobs WHERE kind = ? AND key > ? ORDER BY key LIMIT ${rowsAtOnce}`;
    for (let last = ""; ; ) {
      const rows = this.#rows(sql, [kind, last]).map(jobOf);
      yield* rows;
      if (rows.length < rowsAtOnce) return;
      last = rows.at(-1)!.key;
    }
  }

  /** How many jobs there are in each state. */
  counts(kind: string): Record<JobState, number> {
    const counts = { pending: 0, running: 0, done: 0, failed: 0 };
    for (const { state, count } of this.#rows(
      "SELECT state, count(*) AS count FROM jobs WHERE kind = ? GROUP BY state",
      [kind],
    )) {
      counts[state as JobState] = Number(count);
    }
    return counts;
  }

  /** A value kept beside the jobs (a counter, when the work began), or undefined. */
  getItem(name: string): unknown {
    const [row] = this.#rows("SELECT value FROM items WHERE name = ?", [name]);
    return row && readValue(row);
  }

  setItem(name: string, value: unknown): void {
    this.#run("INSERT INTO items (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", [
      name,
      stableJson(value),
    ]);
  }

  /**
   * Fixes what must stay as it is while the work goes on (its settings, a digest of its input): kept the first time, compared
   * afterwards.
   * @throws RookeryError INVALID_OPTION if the work was begun with another value.
   */
  pin(name: string, value: unknown): void {
    const kept = this.getItem(name);
    if (kept === undefined) this.setItem(name, value);
    if (kept === undefined || stableJson(kept) === stableJson(value)) return;
    const { path, before, now } = firstDifference(name, kept, value);
    throw new RookeryError(
      "INVALID_OPTION",
      `the work in ${this.path} was begun with ${path} ${quoteForMessage(before)}, not ${quoteForMessage(now)}`,
      "go on with what it was begun with, or begin anew under another name",
    );
  }

  /** The answer to a request that was made before (`requestKey` makes the key), or undefined. */
  recall(key: string): unknown {
    const [row] = this.#rows("SELECT value FROM remembered WHERE key = ?", [key]);
    return row && readValue(row);
  }

  remember(key: string, value: unknown): void {
    this.#run("INSERT INTO remembered (key, value) VALUES (?, ?) ON CONFLICT (key) DO NOTHING", [key, jsonOf(value)]);
  }

  /** Makes several changes one: all of them are kept, or none if `work` throws. `work` is synchronous. */
  atomically<Result>(work: () => Result): Result {
    if (this.#database.isTransaction) return work();
    this.#exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#exec("COMMIT");
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#exec("ROLLBACK");
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (this.#database.isOpen) this.#database.close();
    this.#lock.release();
  }

  #leaveRunning(id: number, state: JobState, result: string | null, reason: string | null): void {
    const { changes } = this.#run(
      "UPDATE jobs SET state = ?, result = ?, reason = ?, updated_at = ? WHERE id = ? AND state = 'running'",
      [state, result, reason, Date.now(), id],
    );
    this.#changeOne(id, changes);
  }

  #changeOne(id: number, changes: number): void {
    if (changes !== 1) throw new Error(`job ${id} of ${this.path} is not running`);
  }

  #prepared(sql: string): ReturnType<DatabaseSync["prepare"]> {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  #run(sql: string, values: readonly (string | number | null)[]): { changes: number } {
    return attempt(this.path, () => ({ changes: Number(this.#prepared(sql).run(...values).changes) }));
  }

  #rows(sql: string, values: readonly (string | number)[]): Record<string, unknown>[] {
    return attempt(this.path, () => this.#prepared(sql).all(...values));
  }

  #exec(sql: string): void {
    attempt(this.path, () => this.#database.exec(sql));
  }
}

/** Where two values that differ do, keys in their order: what differs within a long value would not be seen in a message. */
function firstDifference(path: string, before: unknown, now: unknown): { path: string; before: string; now: string } {
  if (isPlainObject(before) && isPlainObject(now)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])].sort();
    const key = keys.find((one) => stableJson(before[one]) !== stableJson(now[one]));
    if (key !== undefined) return firstDifference(`${path}.${key}`, before[key], now[key]);
  }
  return { path, before: stableJson(before), now: stableJson(now) };
}

/**
 * Opens the jobs in the file `path`, or makes it in a folder that exists. Jobs that were running when their process died wait
 * again.
 * @param what for messages: 'the sweep "a"'.
 * @throws RookeryError RUN_LOCKED while another process has it open; UNKNOWN_FORMAT, FILE_DAMAGED, FILE_UNWRITABLE.
 */
export function openJobs(path: string, what: string): Jobs {
  const lock = acquireLock(`${path}.lock`, what);
  let database: DatabaseSync | undefined;
  try {
    return attempt(path, () => {
      database = new DatabaseSync(path);
      prepareFile(database, path);
      database.prepare("UPDATE jobs SET state = 'pending', updated_at = ? WHERE state = 'running'").run(Date.now());
      return new Jobs(path, database, lock);
    });
  } catch (error) {
    database?.close();
    lock.release();
    throw error;
  }
}

function prepareFile(database: DatabaseSync, path: string): void {
  const number = (sql: string) => Number(Object.values(database.prepare(sql).get() ?? {})[0]);
  const owner = number("PRAGMA application_id");
  const isNew = owner === 0 && number("SELECT count(*) FROM sqlite_schema") === 0;
  if (!isNew && owner !== applicationId) {
    throw new RookeryError("UNKNOWN_FORMAT", `${path} is a database of another program`, "choose another name");
  }
  const version = number("PRAGMA user_version");
  if (!isNew && version !== formatVersion) {
    throw new RookeryError(
      "UNKNOWN_FORMAT",
      `${path} holds jobs of version ${version}; this Rookery reads ${formatVersion}`,
      "use the Rookery that wrote it, or begin anew under another name",
    );
  }
  // A write-ahead log takes thousands of transactions a second: the system holds them, and syncs when it is folded in.
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  if (isNew) database.exec(`BEGIN IMMEDIATE; ${tables} COMMIT`);
}

/** Result codes of SQLite (https://www.sqlite.org/rescode.html) that are no fault of the program. */
const mends: Record<number, [code: "FILE_UNWRITABLE" | "FILE_DAMAGED" | "RUN_LOCKED", what: string, hint: string]> = {
  5: ["RUN_LOCKED", "another program has it open and writes", "close that program"],
  8: ["FILE_UNWRITABLE", "it or its folder is read-only", "give yourself write permission there"],
  10: ["FILE_UNWRITABLE", "its disk reports an error", "check the disk"],
  11: ["FILE_DAMAGED", "it is damaged", "take another copy of it, or begin anew under another name"],
  13: ["FILE_UNWRITABLE", "no space is left on its disk", "free some space"],
  14: ["FILE_UNWRITABLE", "it cannot be opened", "correct the path, or give yourself write permission there"],
  26: ["FILE_DAMAGED", "it is no SQLite database", "choose another name, or remove it"],
};

function attempt<Result>(path: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    // the low byte is the kind of error, the rest its details
    const kind = error instanceof Error && "errcode" in error ? Number(error.errcode) & 0xff : 0;
    const mend = mends[kind];
    if (mend === undefined) throw error;
    const [code, what, hint] = mend;
    throw new RookeryError(code, `cannot use ${path}: ${what}`, hint, { cause: error });
  }
}

/** As it is stored; numbers that JSON has not (NaN, Infinity) become null, and so does undefined. */
function jsonOf(value: unknown): string {
  return JSON.stringify(value ?? null);
}

function readValue({ value }: Record<string, unknown>): unknown {
  return JSON.parse(String(value));
}

function jobOf(row: Record<string, unknown>): Job {
  const { id, kind, key, state, payload, result, reason, attempts, created_at: createdAt, updated_at: updatedAt } = row;
  return {
    id: Number(id),
    kind: String(kind),
    key: String(key),
    state: state as JobState,
    payload: JSON.parse(String(payload)),
    result: result === null ? null : JSON.parse(String(result)),
    reason: reason === null ? null : String(reason),
    attempts: Number(attempts),
    createdAt: Number(createdAt),
    updatedAt: Number(updatedAt),
  };
}
