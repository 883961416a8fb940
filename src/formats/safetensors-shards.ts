import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import { isPlainName, quoteForMessage, readJsonFile, writeFileAtomic } from "../base/files.ts";
import { noSuchTensor, SafetensorsFile, type TensorInfo, TensorSource } from "./safetensors.ts";
import { damaged, maxHeaderBytes, tensorBytes } from "./safetensors-header.ts";
import { inFileOrder, type TensorToWrite, type WrittenFile, writeSafetensors } from "./safetensors-writer.ts";

// A large model lies in several files; `model.safetensors.index.json` says which tensor lies in which:
// {"metadata": {"total_size": bytes}, "weight_map": {tensor name: file name}}.

const indexSuffix = ".safetensors.index.json";

/** The tensors of several files, as their index lists them. */
class ShardedSafetensors extends TensorSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  private readonly indexPath: string;
  private readonly shards: readonly SafetensorsFile[];
  private readonly shardOf: ReadonlyMap<string, SafetensorsFile>;

  constructor(indexPath: string, shards: readonly SafetensorsFile[], shardOf: ReadonlyMap<string, SafetensorsFile>) {
    super();
    this.indexPath = indexPath;
    this.shards = shards;
    this.shardOf = shardOf;
    const tensors = new Map<string, TensorInfo>();
    for (const [name, shard] of shardOf) tensors.set(name, shard.tensors.get(name)!);
    this.tensors = tensors;
  }

  readInto(name: string, destination: Uint8Array, byteOffset = 0): void {
    this.shard(name).readInto(name, destination, byteOffset);
  }

  async readIntoAsync(name: string, destination: Uint8Array, byteOffset = 0): Promise<void> {
    await this.shard(name).readIntoAsync(name, destination, byteOffset);
  }

  close(): void {
    for (const shard of this.shards) shard.close();
  }

  private shard(name: string): SafetensorsFile {
    const shard = this.shardOf.get(name);
    if (shard === undefined) throw noSuchTensor(this.indexPath, name);
    return shard;
  }
}

/**
 * Opens the files of an index, so that whatever is missing or broken is known before anything is read. File names in it are
 * plain names beside the index. With `isWanted`, only files that hold a wanted tensor are opened, and the source has no
 * others. Throws FILE_UNREADABLE, FILE_DAMAGED or UNKNOWN_FORMAT.
 */
export function openShardedSafetensors(
  indexPath: string,
  isWanted: (name: string) => boolean = () => true,
): TensorSource {
  const listed = parseIndex(readJsonFile(indexPath, maxHeaderBytes), indexPath);
  const fileOf = new Map([...listed].filter(([name]) => isWanted(name)));
  const shards = new Map<string, SafetensorsFile>();
  try {
    const shardOf = new Map<string, SafetensorsFile>();
    for (const [name, fileName] of fileOf) {
      let shard = shards.get(fileName);
      if (shard === undefined) {
        shard = SafetensorsFile.open(path.join(path.dirname(indexPath), fileName));
        shards.set(fileName, shard);
      }
      if (!shard.tensors.has(name)) throw noSuchTensor(shard.path, name);
      shardOf.set(name, shard);
    }
    for (const [fileName, shard] of shards) {
      for (const name of shard.tensors.keys()) {
        if (listed.get(name) === fileName) continue;
        throw damaged(
          shard.path,
          `its tensor ${quoteForMessage(name)} is not listed there by ${path.basename(indexPath)}`,
        );
      }
    }
    return new ShardedSafetensors(indexPath, [...shards.values()], shardOf);
  } catch (error) {
    for (const shard of shards.values()) shard.close();
    throw error;
  }
}

function parseIndex(value: unknown, indexPath: string): Map<string, string> {
  const map = typeof value === "object" && value !== null && "weight_map" in value ? value.weight_map : undefined;
  if (typeof map !== "object" || map === null || Array.isArray(map)) throw damaged(indexPath, "it has no weight_map");
  const fileOf = new Map<string, string>();
  for (const [name, fileName] of Object.entries(map)) {
    if (typeof fileName !== "string" || !isPlainName(fileName) || !fileName.endsWith(".safetensors")) {
      const shown = typeof fileName === "string" ? quoteForMessage(fileName) : typeof fileName;
      throw damaged(indexPath, `tensor ${quoteForMessage(name)} names the file ${shown}; only a plain name is allowed`);
    }
    fileOf.set(name, fileName);
  }
  return fileOf;
}

/** Files of a model: which tensors go into which, and the index that lists them where there are several. */
export type ShardPlan = {
  files: ReadonlyMap<string, readonly TensorToWrite[]>;
  index: { fileName: string; text: string } | null;
};

/**
 * Shares tensors out to `stem.safetensors`, or, when they take more than `maxShardBytes`, to `stem-00001-of-0000N.safetensors`
 * and so on. A tensor is never cut.
 */
export function planShards(stem: string, tensors: Iterable<TensorToWrite>, maxShardBytes: number): ShardPlan {
  if (!isPlainName(stem))
    throw new RookeryError("INVALID_OPTION", `${quoteForMessage(stem)} is no plain name`, "rename");
  const shards: TensorToWrite[][] = [];
  let filled = Number.POSITIVE_INFINITY;
  let totalBytes = 0;
  for (const tensor of inFileOrder(tensors)) {
    const byteLength = tensorBytes(tensor.dtype, tensor.shape) ?? 0;
    if (filled + byteLength > maxShardBytes) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push(tensor);
    filled += byteLength;
    totalBytes += byteLength;
  }
  if (shards.length <= 1) return { files: new Map([[`${stem}.safetensors`, shards[0] ?? []]]), index: null };
  const numbered = (index: number): string => String(index).padStart(5, "0");
  const files = new Map<string, TensorToWrite[]>();
  const fileOf: [string, string][] = [];
  shards.forEach((shard, index) => {
    const fileName = `${stem}-${numbered(index + 1)}-of-${numbered(shards.length)}.safetensors`;
    files.set(fileName, shard);
    for (const { name } of shard) fileOf.push([name, fileName]);
  });
  const index = { metadata: { total_size: totalBytes }, weight_map: Object.fromEntries(fileOf) };
  return { files, index: { fileName: `${stem}${indexSuffix}`, text: `${JSON.stringify(index, null, 2)}\n` } };
}

/** Writes what `planShards` plans. Returns the files by name. Throws as `writeSafetensors` does. */
export function writeShardedSafetensors(
  folder: string,
  stem: string,
  tensors: Iterable<TensorToWrite>,
  options: { maxShardBytes: number; metadata?: Readonly<Record<string, string>> },
): Map<string, WrittenFile> {
  const { files, index } = planShards(stem, tensors, options.maxShardBytes);
  const written = new Map<string, WrittenFile>();
  for (const [fileName, shard] of files)
    written.set(fileName, writeSafetensors(path.join(folder, fileName), shard, options.metadata));
  if (index !== null) writeFileAtomic(path.join(folder, index.fileName), index.text);
  return written;
}
