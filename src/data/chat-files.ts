/** Files of chat records: JSON lines, JSON arrays or tables, plain or compressed, read one record at a time. */
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { type ChatFault, chatFaults, oppositeOf, type Reading } from "./chat.ts";
import { type Digest, DigestSet, documentDigest } from "./digests.ts";
import { readFileRecords, resolveFiles } from "./files.ts";
import type { ProblemKind } from "./problems.ts";

const shownAtMost = 10;

/** A record that cannot be used; `record` is what was read, undefined where nothing could be. */
export type LeftOut = { fault: ChatFault; where: string; detail: string; record: unknown };

/** Counts records that cannot be used, and tells the first of them. */
export class ChatFaults {
  readonly #context: CommandContext;
  readonly #onLeftOut: (leftOut: LeftOut) => void;
  readonly #counts: Partial<Record<ChatFault, number>> = {};
  readonly #examples: string[] = [];

  /** @param onLeftOut told of every record, for whoever keeps them. */
  constructor(context: CommandContext, onLeftOut: (leftOut: LeftOut) => void = () => {}) {
    this.#context = context;
    this.#onLeftOut = onLeftOut;
  }

  report(fault: ChatFault, where: string, detail: string, record?: unknown): void {
    this.#onLeftOut({ fault, where, detail, record });
    this.#counts[fault] = (this.#counts[fault] ?? 0) + 1;
    const message = `${where}: ${chatFaults[fault]} (${detail})`;
    if (this.#examples.length < shownAtMost) {
      this.#examples.push(message);
      this.#context.onEvent?.({ type: "warning", message: `${message}; left out` });
    } else if (this.total === shownAtMost + 1) {
      this.#context.onEvent?.({ type: "warning", message: "further records are left out, and counted by reason" });
    }
  }

  get total(): number {
    return Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
  }

  get counts(): Partial<Record<ChatFault, number>> {
    return { ...this.#counts };
  }

  /** The first records, a line each. */
  get examples(): readonly string[] {
    return this.#examples;
  }
}

/** A record that was read, as it stands in its file, and where: "file:line". */
export type ChatRecord<Value> = { value: Value; record: unknown; where: string };

/** White space does not make another record. */
function digestOf(value: object): Digest {
  const words = (_key: string, inner: unknown) =>
    typeof inner === "string" ? inner.trim().replace(/\s+/g, " ") : inner;
  return documentDigest(JSON.stringify(value, words));
}

/**
 * The usable records of all files that `patterns` stand for, in a fixed order; the others go to `faults`.
 * @throws RookeryError FILE_UNREADABLE, and BAD_DATA where no record is left.
 */
export async function readChatFiles<Value extends object>(
  patterns: readonly string[],
  read: (record: unknown) => Reading<Value>,
  faults: ChatFaults,
  { signal }: CommandContext,
): Promise<ChatRecord<Value>[]> {
  const records: ChatRecord<Value>[] = [];
  const seen = new DigestSet();
  for (const pattern of patterns) {
    const { files } = await resolveFiles(pattern, (file, error) => {
      faults.report("unreadable", file, (error as Error).message);
    });
    for (const file of files) {
      signal?.throwIfAborted();
      const problem = (kind: ProblemKind, line: number | null, what: string) =>
        faults.report(
          kind === "unreadable" || kind === "unsupportedFile" ? "unreadable" : "malformed",
          line === null ? file : `${file}:${line}`,
          what,
        );
      for await (const { record, line } of readFileRecords(file, problem)) {
        const where = `${file}:${line}`;
        const reading = read(record);
        if ("fault" in reading) {
          faults.report(reading.fault, where, reading.detail, record);
          continue;
        }
        const opposite = oppositeOf(reading.value);
        if (opposite !== undefined && seen.has(digestOf(opposite))) {
          faults.report("contradiction", where, "chosen and rejected have changed places", record);
        } else if (!seen.add(digestOf(reading.value))) faults.report("duplicate", where, "word for word", record);
        else records.push({ value: reading.value, record, where });
      }
    }
  }
  if (records.length === 0) {
    throw new RookeryError(
      "BAD_DATA",
      `${patterns.join(", ")}: no record can be used${faults.total > 0 ? ` (${faults.total} left out)` : ""}`,
      faults.examples[0] ?? "give .jsonl, .json, .csv or .parquet files of conversations",
    );
  }
  return records;
}
