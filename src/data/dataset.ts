/**
 * A prepared data set: a folder with one shard a source and a split, and `manifest.json`, written last.
 *
 *     manifest.json   train-0.shard  held-out-0.shard  train-1.shard …
 */
import path from "node:path";
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { readJsonFile } from "../base/files.ts";
import type { SourceReport, Split } from "./corpus.ts";
import { type DropReason, dropReasons } from "./filters.ts";
import type { TokenSource } from "./packing.ts";
import { type ProblemKind, problemKinds } from "./problems.ts";
import { Shard } from "./shard.ts";

export const datasetFormat = "rookery-dataset/1";

const count = z.int().min(0);
const amount = z.strictObject({ documents: count, characters: count });
const shardEntry = z.strictObject({ documents: count, tokens: count, sha256: z.string() });

const manifestSchema = z.strictObject({
  format: z.string(),
  rookeryVersion: z.string(),
  /** Hash of all that the data set was made from. */
  fingerprint: z.string(),
  tokenizerFingerprint: z.string(),
  sources: z
    .array(
      z.strictObject({
        name: z.string(),
        license: z.string().nullable(),
        files: count,
        ignoredFiles: count,
        read: amount,
        train: amount,
        heldOut: amount,
        dropped: z.partialRecord(z.enum(Object.keys(dropReasons) as DropReason[]), count),
        problems: z.partialRecord(z.enum(Object.keys(problemKinds) as ProblemKind[]), count),
        shards: z.strictObject({ train: shardEntry, heldOut: shardEntry }),
      }),
    )
    .min(1)
    .max(100_000),
  /** The first lines about input that could not be used. */
  problems: z.array(z.string()),
});

export type DatasetManifest = z.infer<typeof manifestSchema>;
export type DatasetSource = DatasetManifest["sources"][number] & SourceReport;

export function shardFile(folder: string, source: number, split: Split): string {
  return path.join(folder, `${split === "train" ? "train" : "held-out"}-${source}.shard`);
}

export const manifestFile = (folder: string): string => path.join(folder, "manifest.json");

/** An open data set. Dispose it (or its run) when no more batches are read. */
export class Dataset implements Disposable {
  readonly folder: string;
  readonly manifest: DatasetManifest;
  readonly train: readonly TokenSource[];
  readonly heldOut: readonly TokenSource[];

  private constructor(folder: string, manifest: DatasetManifest, train: TokenSource[], heldOut: TokenSource[]) {
    this.folder = folder;
    this.manifest = manifest;
    this.train = train;
    this.heldOut = heldOut;
  }

  /**
   * Opens a folder that `prepareData` has written, comparing each shard's header with the manifest; `verify()` reads
   * them whole. Throws FILE_UNREADABLE, UNKNOWN_FORMAT or FILE_DAMAGED.
   */
  static open(folder: string): Dataset {
    const file = manifestFile(folder);
    const json = readJsonFile(file);
    const hint = "delete that folder and prepare the data again";
    const format = z.object({ format: z.string() }).safeParse(json).data?.format;
    if (format !== undefined && format !== datasetFormat) {
      const message = `${file} is ${JSON.stringify(format.slice(0, 40))}; this Rookery reads ${datasetFormat}`;
      throw new RookeryError("UNKNOWN_FORMAT", message, hint);
    }
    const parsed = manifestSchema.safeParse(json);
    if (!parsed.success) {
      const where = parsed.error.issues[0]?.path.join(".") ?? "";
      throw new RookeryError("FILE_DAMAGED", `${file} is wrong at "${where}"`, hint);
    }
    const opened: Shard[] = [];
    const open = (split: Split): TokenSource[] =>
      parsed.data.sources.map(({ name, shards }, i) => {
        const shard = Shard.open(shardFile(folder, i, split));
        opened.push(shard);
        if (shard.header.sha256 !== shards[split].sha256) {
          throw new RookeryError("FILE_DAMAGED", `${shard.file} is not the one that ${file} names`, hint);
        }
        return { name, shard };
      });
    try {
      return new Dataset(folder, parsed.data, open("train"), open("heldOut"));
    } catch (error) {
      for (const shard of opened) shard.dispose();
      throw error;
    }
  }

  /** Tokens of a split, special ones included. */
  tokens(split: Split): number {
    return this.#of(split).reduce((sum, { shard }) => sum + shard.tokens, 0);
  }

  documents(split: Split): number {
    return this.#of(split).reduce((sum, { shard }) => sum + shard.documents, 0);
  }

  /** Size of all shards on the disk. */
  get bytes(): number {
    return [...this.train, ...this.heldOut].reduce((sum, { shard }) => sum + shard.bytes, 0);
  }

  /** Reads every shard and throws FILE_DAMAGED unless the checksums are right. `onBytes` is told of progress. */
  verify(onBytes: (count: number) => void = () => {}): void {
    for (const { shard } of [...this.train, ...this.heldOut]) shard.verify(onBytes);
  }

  dispose(): void {
    for (const { shard } of [...this.train, ...this.heldOut]) shard.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #of(split: Split): readonly TokenSource[] {
    return split === "train" ? this.train : this.heldOut;
  }
}
