/** From what a user names to documents: sources, then each document cleaned, judged, and put on its side of the split. */
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { DigestSet, documentDigest, splitPoint } from "./digests.ts";
import { DocumentReader } from "./documents/read.ts";
import { type FileReading, readFileDocuments, resolveFiles } from "./files.ts";
import { type DropReason, filterReason } from "./filters.ts";
import type { DataOptions, SourceOptions } from "./options.ts";
import type { ProblemCounts, Problems } from "./problems.ts";
import type { RawDocument } from "./readers.ts";
import { starterParts } from "./starter.ts";

export const starterName = "starter";

export type Source = {
  name: string;
  license: string | null;
  /** Files of other kinds that were found beside. */
  ignoredFiles: number;
  files: readonly string[];
  /** Sources that came from the same entry of the options share its weights. */
  entry: number;
  read: (
    file: string,
    reading: Pick<FileReading, "onBytes" | "documents" | "signal">,
  ) => AsyncIterable<RawDocument> | Iterable<RawDocument>;
};

export type Split = "train" | "heldOut";
/** `file` and `line` (1-based) say where the document starts. */
export type CorpusDocument = { text: string; source: Source; file: string; line: number; split: Split };

/** The options of each source, whether it was given as a path or as an object. */
export function sourceEntries(options: DataOptions): SourceOptions[] {
  return options.data.map((entry) => (typeof entry === "string" ? { path: entry } : entry));
}

function defaultName(pattern: string): string {
  const base = path
    .basename(pattern)
    .replace(/(\.(txt|md|json|jsonl|ndjson|csv|tsv|parquet|html?|xhtml|pdf|docx))?(\.(gz|zst))?$/i, "");
  return base === "" || /[*?[{]/.test(base) ? pattern : base;
}

/** Finds the files of all sources. Throws where a path leads nowhere or two sources are given one name. */
export async function resolveSources(options: DataOptions, problems: Problems): Promise<Source[]> {
  const sources: Source[] = [];
  const add = (source: Source, isNamed: boolean): void => {
    const taken = new Set(sources.map((other) => other.name));
    if (isNamed && taken.has(source.name)) {
      throw new RookeryError(
        "INVALID_OPTION",
        `two sources are named "${source.name}"`,
        "give each source its own name",
      );
    }
    let { name } = source;
    for (let i = 2; taken.has(name); i++) name = `${source.name}-${i}`;
    sources.push({ ...source, name });
  };
  for (const [entry, spec] of sourceEntries(options).entries()) {
    if (spec.path === starterName) {
      for (const part of starterParts()) {
        const name = spec.name === undefined ? part.name : `${spec.name}-${part.name}`;
        add({ name, license: part.license, ignoredFiles: 0, files: part.files, entry, read: part.read }, false);
      }
      continue;
    }
    const name = spec.name ?? defaultName(spec.path);
    const found = await resolveFiles(spec.path, (file, error) => {
      problems.report(name, "unreadable", file, null, `cannot be read (${(error as NodeJS.ErrnoException).code})`);
    });
    const textField = spec.textField ?? options.textField;
    const { maxDocumentCharacters } = options;
    const read: Source["read"] = (file, reading) =>
      readFileDocuments(file, {
        textField,
        maxDocumentCharacters,
        ...reading,
        problem: (kind, line, what) => problems.report(name, kind, file, line, what),
      });
    const license = spec.license ?? null;
    add({ name, license, ignoredFiles: found.ignored, files: found.files, entry, read }, spec.name !== undefined);
  }
  return sources;
}

type Amount = { documents: number; characters: number };
const nothing = (): Amount => ({ documents: 0, characters: 0 });

/** What became of a source's documents. Characters are UTF-16 units. */
export type SourceReport = {
  name: string;
  license: string | null;
  files: number;
  ignoredFiles: number;
  read: Amount;
  train: Amount;
  heldOut: Amount;
  dropped: Partial<Record<DropReason, number>>;
  problems: ProblemCounts;
};

/** One line break for all, no blank lines before, no white space after. */
function clean(text: string): string {
  return text
    .replace(/\r\n?/g, "\n")
    .replace(/^(?:[^\S\n]*\n)+/, "")
    .trimEnd();
}

/**
 * All documents that stay, in the order of sources and files. The split depends on a document's text alone. Where no
 * document at all falls below the share, the one nearest to it is held out, so that even a small corpus is measured;
 * nothing is held out of a single document. Reading this twice gives the same.
 */
export class Corpus {
  readonly #sources: readonly Source[];
  readonly #options: DataOptions;
  readonly #problems: Problems;
  readonly #context: CommandContext;
  #reports: SourceReport[] = [];

  constructor(sources: readonly Source[], options: DataOptions, problems: Problems, context: CommandContext) {
    this.#sources = sources;
    this.#options = options;
    this.#problems = problems;
    this.#context = context;
  }

  /** What has been read so far; complete when `documents()` has ended. */
  get reports(): SourceReport[] {
    return this.#reports.map((report) => ({ ...report, problems: { ...this.#problems.of(report.name) } }));
  }

  /** @param onBytes told how many bytes of the files have been read. Throws BAD_DATA when nothing is left. */
  async *documents(onBytes: (count: number) => void = () => {}): AsyncGenerator<CorpusDocument> {
    const { heldOutShare } = this.#options;
    let mayHoldBack = heldOutShare > 0;
    let nearest: { document: CorpusDocument; point: number; report: SourceReport } | null = null;
    let kept = 0;
    const count = (document: CorpusDocument, report: SourceReport): CorpusDocument => {
      report[document.split].documents++;
      report[document.split].characters += document.text.length;
      kept++;
      return document;
    };
    for await (const { document, point, report } of this.#judged(onBytes)) {
      if (point < heldOutShare) {
        if (nearest !== null) yield count(nearest.document, nearest.report);
        nearest = null;
        mayHoldBack = false;
        yield count({ ...document, split: "heldOut" }, report);
      } else if (!mayHoldBack) {
        yield count(document, report);
      } else if (nearest === null || point < nearest.point) {
        if (nearest !== null) yield count(nearest.document, nearest.report);
        nearest = { document, point, report };
      } else {
        yield count(document, report);
      }
    }
    if (nearest !== null) {
      const split = kept === 0 ? "train" : "heldOut";
      yield count({ ...nearest.document, split }, nearest.report);
    }
    if (kept === 0) {
      const reasons = this.#reports.flatMap(({ dropped }) =>
        Object.entries(dropped).map(([reason, n]) => `${n} ${reason}`),
      );
      if (this.#problems.total > 0) reasons.push(`${this.#problems.total} unusable`);
      const what = reasons.length === 0 ? "the data holds no documents" : `no document is left: ${reasons.join(", ")}`;
      throw new RookeryError("BAD_DATA", what, "check the paths and the filters with `rookery data inspect PATH`");
    }
  }

  async *#judged(
    onBytes: (count: number) => void,
  ): AsyncGenerator<{ document: CorpusDocument; point: number; report: SourceReport }> {
    const seen = new DigestSet();
    await using documents = new DocumentReader();
    const reading = { onBytes, documents, signal: this.#context.signal };
    this.#reports = [];
    for (const source of this.#sources) {
      const { name, license, files, ignoredFiles } = source;
      const report: SourceReport = {
        ...{ name, license, files: files.length, ignoredFiles },
        ...{ read: nothing(), train: nothing(), heldOut: nothing(), dropped: {}, problems: {} },
      };
      this.#reports.push(report);
      for (const file of files) {
        for await (const raw of source.read(file, reading)) {
          this.#context.signal?.throwIfAborted();
          const text = clean(raw.text);
          report.read.documents++;
          report.read.characters += text.length;
          const digest = documentDigest(text);
          const isKnown = this.#options.deduplicate && text !== "" && !seen.add(digest);
          const reason = isKnown ? "duplicate" : filterReason(text, this.#options.filters);
          if (reason !== null) {
            report.dropped[reason] = (report.dropped[reason] ?? 0) + 1;
            continue;
          }
          const document: CorpusDocument = { text, source, file, line: raw.line, split: "train" };
          yield { document, point: splitPoint(digest), report };
        }
      }
    }
  }
}
