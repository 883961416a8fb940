/** Input that cannot be used: one line each, counted and skipped, or the end of the work under `strict`. */
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";

/** The files that are read. */
export const readableFiles =
  ".txt, .md, .json, .jsonl, .csv or .tsv, plain, .gz or .zst, or .parquet, .html, .pdf or .docx";

/** What can be wrong with an input, and the mend. */
export const problemKinds = {
  unreadable: "check the file and its permissions, or take another copy of it",
  unsupportedFile: `give ${readableFiles}`,
  invalidUtf8: "convert the file to UTF-8",
  malformed: "mend the record at that line",
  missingField: "name the field that holds the text with --text-field",
  tooLong: "split the record",
  unreadableDocument: "take another copy of it, or leave it out",
  unreadablePages: "take a copy with text in it, or leave it out",
} as const;

export type ProblemKind = keyof typeof problemKinds;
export type ProblemCounts = Partial<Record<ProblemKind, number>>;

/** So many lines are shown; the rest is only counted, since one wrong file can bring millions. */
const SHOWN = 20;

/** Counts problems by source and kind, tells the first of them to `onEvent`, and throws BAD_DATA under `strict`. */
export class Problems {
  readonly #strict: boolean;
  readonly #context: CommandContext;
  readonly #counts = new Map<string, ProblemCounts>();
  readonly #shown: string[] = [];
  #total = 0;

  constructor(strict: boolean, context: CommandContext) {
    this.#strict = strict;
    this.#context = context;
  }

  get total(): number {
    return this.#total;
  }

  /** The lines that were shown. */
  get shown(): readonly string[] {
    return this.#shown;
  }

  of(source: string): ProblemCounts {
    return this.#counts.get(source) ?? {};
  }

  /** @param line 1-based, or null where a file as a whole is meant. */
  report(source: string, kind: ProblemKind, file: string, line: number | null, what: string): void {
    const message = `${line === null ? file : `${file}:${line}`}: ${what}`;
    if (this.#strict) throw new RookeryError("BAD_DATA", message, problemKinds[kind]);
    const counts = this.#counts.get(source) ?? {};
    counts[kind] = (counts[kind] ?? 0) + 1;
    this.#counts.set(source, counts);
    this.#total++;
    if (this.#shown.length < SHOWN) {
      this.#shown.push(message);
      this.#context.onEvent?.({ type: "warning", message: `${message}; skipped` });
    } else if (this.#total === SHOWN + 1) {
      this.#context.onEvent?.({ type: "warning", message: "further problems are counted but not shown" });
    }
  }
}
