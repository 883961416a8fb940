/** What is in the data, before anything is trained on it. */
import { parseOptions } from "../base/config.ts";
import type { CommandContext } from "../base/events.ts";
import type { SourceReport } from "./corpus.ts";
import type { DropReason } from "./filters.ts";
import { type DataOptionsInput, dataOptionsSchema } from "./options.ts";
import { type ProblemCounts, Problems } from "./problems.ts";

export const dataReportFormat = "rookery-data-report/1";

/** Characters are UTF-16 units; tokens leave out the start and the end of a document. */
export type DataReport = {
  format: typeof dataReportFormat;
  documents: number;
  characters: number;
  /** Of the documents that stay, where a tokenizer was given. */
  tokens?: number;
  charactersPerToken?: number;
  duplicates: number;
  train: { documents: number; characters: number };
  heldOut: { documents: number; characters: number };
  dropped: Partial<Record<DropReason, number>>;
  problems: ProblemCounts;
  sources: (SourceReport & { tokens?: number })[];
};

export type InspectOptions = {
  data: DataOptionsInput;
  /** Counts tokens too. */
  encoder?: { encodeBatch(texts: string[]): Promise<ArrayLike<number>[]> } | undefined;
};

const BATCH_CHARACTERS = 1024 * 1024;

function addCounts<Key extends string>(into: Partial<Record<Key, number>>, counts: Partial<Record<Key, number>>): void {
  for (const [key, value] of Object.entries(counts) as [Key, number][]) into[key] = (into[key] ?? 0) + value;
}

/** Reads everything as training would, keeps nothing. Throws as `prepareData` does, for an empty corpus too. */
export async function inspectData(options: InspectOptions, context: CommandContext = {}): Promise<DataReport> {
  const { encoder } = options;
  const data = parseOptions(dataOptionsSchema, options.data);
  const problems = new Problems(data.strict, context);
  // the readers of all kinds of files, which a program that only imports this does not wait for
  const [{ Corpus, resolveSources }, { byteProgress, sizeOfFiles }] = await Promise.all([
    import("./corpus.ts"),
    import("./progress.ts"),
  ]);
  const sources = await resolveSources(data, problems);
  const corpus = new Corpus(sources, data, problems, context);
  const onBytes = byteProgress("reading the data", sizeOfFiles(sources.flatMap(({ files }) => files)), context);
  const tokens = new Map(sources.map(({ name }) => [name, 0]));
  let waiting: { name: string; text: string }[] = [];
  let characters = 0;
  const flush = async (): Promise<void> => {
    const encoded = (await encoder?.encodeBatch(waiting.map(({ text }) => text))) ?? [];
    encoded.forEach((one, i) => {
      const { name } = waiting[i]!;
      tokens.set(name, tokens.get(name)! + one.length);
    });
    waiting = [];
    characters = 0;
  };
  for await (const { source, text } of corpus.documents(onBytes)) {
    if (encoder === undefined) continue;
    waiting.push({ name: source.name, text });
    characters += text.length;
    if (characters >= BATCH_CHARACTERS) await flush();
  }
  await flush();

  const report: DataReport = {
    ...{ format: dataReportFormat, documents: 0, characters: 0, duplicates: 0 },
    ...{ train: { documents: 0, characters: 0 }, heldOut: { documents: 0, characters: 0 }, dropped: {}, problems: {} },
    sources: corpus.reports.map((source) => {
      return encoder === undefined ? source : { ...source, tokens: tokens.get(source.name)! };
    }),
  };
  for (const source of report.sources) {
    report.documents += source.read.documents;
    report.characters += source.read.characters;
    addCounts(report.train, source.train);
    addCounts(report.heldOut, source.heldOut);
    addCounts(report.dropped, source.dropped);
    addCounts(report.problems, source.problems);
  }
  report.duplicates = report.dropped.duplicate ?? 0;
  if (encoder !== undefined) {
    report.tokens = tokens.values().reduce((sum, count) => sum + count, 0);
    if (report.tokens > 0)
      report.charactersPerToken = (report.train.characters + report.heldOut.characters) / report.tokens;
  }
  return report;
}
