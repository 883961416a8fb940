/** From sources to token shards on disk, made once for the same text, tokenizer and rules. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import {
  fileError,
  makeFolder,
  removeStaleTemporaries,
  syncFolder,
  temporaryPath,
  writeFileAtomic,
} from "../base/files.ts";
import { rookeryVersion } from "../base/version.ts";
import { Corpus, type CorpusDocument, resolveSources, type Source, sourceEntries } from "./corpus.ts";
import { Dataset, type DatasetManifest, datasetFormat, manifestFile, shardFile } from "./dataset.ts";
import type { DocumentEncoder } from "./encoder.ts";
import { type Mixture, type MixturePhase, phaseMixture } from "./mixture.ts";
import type { DataOptions } from "./options.ts";
import { Problems } from "./problems.ts";
import { byteProgress, sizeOfFiles } from "./progress.ts";
import { ShardWriter } from "./shard.ts";

/** Raise it when the same options make other documents or tokens than before: caches are then made anew. */
const RECIPE = 1;

export type PrepareOptions = {
  data: DataOptions;
  encoder: DocumentEncoder;
  /** Where prepared data sets are kept from run to run; created if need be. */
  cacheFolder: string;
};

export type PreparedData = {
  dataset: Dataset;
  /** Whether it was there already. */
  fromCache: boolean;
  /** For `BatchStream`: undefined where the share of a source is its size. */
  mixtures: Record<MixturePhase, Mixture | undefined>;
};

/**
 * Reads, filters, splits and tokenizes the sources, unless the cache has the outcome: its key is the contents of all
 * files, the tokenizer and every option that matters. A damaged cache is made anew. The data set appears whole or not
 * at all. Throws BAD_DATA (also for the first unusable input, under `strict`), FILE_UNREADABLE, FILE_UNWRITABLE,
 * MISSING_DEPENDENCY or INVALID_OPTION. The caller disposes the data set.
 */
export async function prepareData(options: PrepareOptions, context: CommandContext = {}): Promise<PreparedData> {
  const { data, cacheFolder } = options;
  const problems = new Problems(data.strict, context);
  const sources = await resolveSources(data, problems);
  // Weights that cannot be used are a mistake to hear of now, not after hours of work.
  mixturesOf(
    data,
    sources,
    sources.map(() => 1),
  );
  const fingerprint = await fingerprintOf(sources, options, context);
  const folder = path.join(cacheFolder, `data-${fingerprint.slice(0, 24)}`);
  const cached = openCached(folder, fingerprint, context);
  if (cached !== null) repeatProblems(cached, problems, data.strict, context);
  const dataset = cached ?? (await makeDataset(folder, fingerprint, sources, options, problems, context));
  try {
    const mixtures = mixturesOf(
      data,
      sources,
      dataset.train.map(({ shard }) => shard.tokens),
    );
    return { dataset, fromCache: cached !== null, mixtures };
  } catch (error) {
    dataset.dispose();
    throw error;
  }
}

/** The texts that are trained on, for training a tokenizer: never the held-out ones. Problems are told by `prepareData`. */
export async function* textsForTokenizer(data: DataOptions, context: CommandContext = {}): AsyncGenerator<string> {
  const problems = new Problems(data.strict, {});
  const sources = await resolveSources(data, problems);
  for await (const document of new Corpus(sources, data, problems, context).documents()) {
    if (document.split === "train") yield document.text;
  }
}

async function fingerprintOf(
  sources: readonly Source[],
  options: PrepareOptions,
  context: CommandContext,
): Promise<string> {
  const { data, encoder } = options;
  const files = sources.flatMap((source) => source.files);
  const onBytes = byteProgress("looking for changes in the data", sizeOfFiles(files), context);
  const contents: string[][] = [];
  for (const source of sources) {
    const hashes: string[] = [];
    for (const file of source.files) hashes.push(await fileHash(file, onBytes, context));
    contents.push(hashes);
  }
  const { textField, maxDocumentCharacters, heldOutShare, deduplicate, filters } = data;
  const recipe = {
    ...{
      format: datasetFormat,
      recipe: RECIPE,
      tokenizer: encoder.fingerprint,
      vocabularySize: encoder.vocabularySize,
    },
    specials: [encoder.startOfText, encoder.endOfText],
    options: { textField: textField ?? null, maxDocumentCharacters, heldOutShare, deduplicate, filters },
    entries: sourceEntries(data).map((entry) => entry.textField ?? null),
    // A file's ending decides how it is read; the rest of its path does not matter.
    sources: sources.map(({ name, license, entry, files: own }, i) => {
      return { name, license, entry, files: own.map((file, f) => [path.extname(file), contents[i]![f]]) };
    }),
  };
  return createHash("sha256").update(JSON.stringify(recipe)).digest("hex");
}

async function fileHash(file: string, onBytes: (count: number) => void, context: CommandContext): Promise<string> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of fs.createReadStream(file, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>) {
      context.signal?.throwIfAborted();
      hash.update(chunk);
      onBytes(chunk.length);
    }
  } catch (error) {
    context.signal?.throwIfAborted();
    // Reading it again for its documents will report it.
    return `unreadable: ${(error as NodeJS.ErrnoException).code}`;
  }
  return hash.digest("hex");
}

function mixturesOf(
  data: DataOptions,
  sources: readonly Source[],
  tokens: readonly number[],
): PreparedData["mixtures"] {
  const entries = sourceEntries(data);
  const sized = sources.map(({ name, entry }, i) => ({ name, entry, tokens: tokens[i]! }));
  return { main: phaseMixture(entries, sized, "main"), annealing: phaseMixture(entries, sized, "annealing") };
}

function openCached(folder: string, fingerprint: string, context: CommandContext): Dataset | null {
  if (!fs.existsSync(manifestFile(folder))) return null;
  let dataset: Dataset | null = null;
  try {
    dataset = Dataset.open(folder);
    dataset.verify(byteProgress("checking the prepared data", dataset.bytes, context));
    if (dataset.manifest.fingerprint === fingerprint) return dataset;
  } catch (error) {
    if (!(error instanceof RookeryError)) throw error;
    context.onEvent?.({ type: "warning", message: `${error.message}; the prepared data is made anew` });
  }
  dataset?.dispose();
  return null;
}

/** What was wrong when the data set was made is still wrong with its sources. */
function repeatProblems(dataset: Dataset, problems: Problems, strict: boolean, context: CommandContext): void {
  const messages = dataset.manifest.problems.filter((message) => !problems.shown.includes(message));
  if (strict && messages[0] !== undefined) {
    dataset.dispose();
    throw new RookeryError("BAD_DATA", messages[0], "mend it, or leave out --strict to skip it");
  }
  for (const message of messages) context.onEvent?.({ type: "warning", message: `${message}; skipped` });
}

async function makeDataset(
  folder: string,
  fingerprint: string,
  sources: readonly Source[],
  options: PrepareOptions,
  problems: Problems,
  context: CommandContext,
): Promise<Dataset> {
  const { cacheFolder } = options;
  makeFolder(cacheFolder);
  removeStaleTemporaries(cacheFolder);
  const temporary = temporaryPath(folder);
  try {
    fs.mkdirSync(temporary);
    await writeDataset(temporary, fingerprint, sources, options, problems, context);
    // Another process may have made the same meanwhile; what else stands there is damaged.
    const existing = openCached(folder, fingerprint, {});
    if (existing !== null) return existing;
    fs.rmSync(folder, { recursive: true, force: true });
    fs.renameSync(temporary, folder);
    syncFolder(cacheFolder);
  } catch (error) {
    throw fileError(error, folder, "write");
  } finally {
    fs.rmSync(temporary, { recursive: true, force: true });
  }
  return Dataset.open(folder);
}

/** Documents wait until there are this many characters: enough for all cores, few enough for progress to be seen. */
const BATCH_CHARACTERS = 1024 * 1024;

async function writeDataset(
  folder: string,
  fingerprint: string,
  sources: readonly Source[],
  options: PrepareOptions,
  problems: Problems,
  context: CommandContext,
): Promise<void> {
  const { data, encoder } = options;
  const { vocabularySize, startOfText, endOfText } = encoder;
  const writers = sources.map((_, i) => ({
    train: new ShardWriter(shardFile(folder, i, "train"), vocabularySize),
    heldOut: new ShardWriter(shardFile(folder, i, "heldOut"), vocabularySize),
  }));
  const places = new Map(sources.map((source, i) => [source, writers[i]!]));
  const flush = async (waiting: CorpusDocument[]): Promise<void> => {
    const encoded = await encoder.encodeBatch(waiting.map(({ text }) => text));
    if (encoded.length !== waiting.length) throw new Error("the tokenizer has lost a document");
    waiting.forEach(({ source, split }, i) => {
      const tokens = encoded[i]!;
      const whole = new Int32Array(tokens.length + 2);
      whole[0] = startOfText;
      whole.set(tokens, 1);
      whole[tokens.length + 1] = endOfText;
      places.get(source)![split].add(whole);
    });
  };
  try {
    const onBytes = byteProgress("tokenizing the data", sizeOfFiles(sources.flatMap(({ files }) => files)), context);
    const corpus = new Corpus(sources, data, problems, context);
    let waiting: CorpusDocument[] = [];
    let characters = 0;
    for await (const document of corpus.documents(onBytes)) {
      waiting.push(document);
      characters += document.text.length;
      if (characters < BATCH_CHARACTERS) continue;
      await flush(waiting);
      waiting = [];
      characters = 0;
    }
    await flush(waiting);
    const manifest: DatasetManifest = {
      ...{ format: datasetFormat, rookeryVersion, fingerprint, tokenizerFingerprint: encoder.fingerprint },
      sources: corpus.reports.map((report, i) => {
        const entry = (writer: ShardWriter): { documents: number; tokens: number; sha256: string } => {
          const { documents, tokens, sha256 } = writer.close();
          return { documents, tokens, sha256 };
        };
        return { ...report, shards: { train: entry(writers[i]!.train), heldOut: entry(writers[i]!.heldOut) } };
      }),
      problems: [...problems.shown],
    };
    writeFileAtomic(manifestFile(folder), `${JSON.stringify(manifest, null, 2)}\n`);
  } finally {
    for (const { train, heldOut } of writers) {
      train.abort();
      heldOut.abort();
    }
  }
}
