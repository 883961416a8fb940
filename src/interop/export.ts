/** `rookery export`: a model directory in another layout or in another type of weights. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { setImmediate } from "node:timers/promises";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { fileError, makeFolder, readJsonFile, syncFolder, writeFileAtomic } from "../base/files.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { type TensorToWrite, writeSafetensors } from "../formats/safetensors.ts";
import { planShards } from "../formats/safetensors-shards.ts";
import { safetensorsBytes } from "../formats/safetensors-writer.ts";
import type { TensorInfo } from "../formats/tensor-source.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { toFloats } from "./floats.ts";
import { toGenerationConfig } from "./generation-config.ts";
import { encodeFloats } from "./gguf/tensors.ts";
import { type Layout, requireLayout } from "./layout.ts";
import { configKeysOf, defaultMaxShardBytes, readModelDirectory } from "./model-directory.ts";
import type { ModelTensors } from "./model-tensors.ts";

/** Types of weights by their names on the command line; `same` leaves every tensor as it is. */
export const exportTypes = ["same", "f32", "bf16", "f16"] as const;
export type ExportType = (typeof exportTypes)[number];

export type ExportOptions = {
  folder: string;
  output: string;
  layout: Layout;
  type: ExportType;
  maxShardBytes?: number;
};

export type ExportedModel = {
  path: string;
  layout: Layout;
  /** Files of weights, how many of them an interrupted export had left, and the bytes of all. */
  files: number;
  filesKept: number;
  byteLength: number;
  /** What was passed over in the weights, and why. */
  notes: readonly string[];
};

const manifestFormat = "rookery-export/1";
const manifestName = "rookery-export.json";

/** Files that go along as they are, where they are there. */
const copiedNames = [
  "README.md",
  "LICENSE",
  "LICENSE.txt",
  "Notice",
  "hy.tiktoken",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
];

/**
 * Writes the model in `folder` as the directory `output`. Tensors go through memory in pieces. The directory is made as
 * `OUTPUT.partial` and takes its name when it is whole; where it is stopped, the same export goes on from the files of weights
 * that are complete. Throws UNSUPPORTED_MODEL with every reason when the layout cannot say the model, FILE_UNWRITABLE when
 * `output` is there, INVALID_OPTION for a weight that the type cannot hold, and as reading a model directory.
 */
export async function exportModel(
  options: ExportOptions,
  { signal, onEvent }: CommandContext = {},
): Promise<ExportedModel> {
  const { folder, output, layout } = options;
  const directory = readModelDirectory(folder);
  const { config, generation } = directory;
  requireLayout(config, layout);
  if (fs.existsSync(output)) {
    throw new RookeryError(
      "FILE_UNWRITABLE",
      `cannot write ${output}: it already exists`,
      "choose another name, or remove it",
    );
  }
  using source = directory.openTensors();
  const partial = `${output}.partial`;
  prepare(partial, manifestOf(options, source));

  const total = [...source.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  let done = 0;
  const tensors = [...source.tensors.values()].map((info) => {
    return convert(source, info, options.type, (bytes) => {
      done += bytes;
      onEvent?.({ type: "progress", what: `writing ${output}`, done, total, unit: "bytes" });
    });
  });
  const { files, index } = planShards("model", tensors, options.maxShardBytes ?? defaultMaxShardBytes);
  // transformers refuses files without this.
  const metadata = { format: "pt" };
  let filesKept = 0;
  let byteLength = 0;
  for (const [fileName, shard] of files) {
    // Between files, whoever wants to stop this is heard.
    await setImmediate();
    signal?.throwIfAborted();
    const filePath = path.join(partial, fileName);
    const bytes = safetensorsBytes(shard, metadata);
    byteLength += bytes;
    // A file has its name only since it was complete.
    if (fs.statSync(filePath, { throwIfNoEntry: false })?.size === bytes) {
      filesKept += 1;
      done += shard.reduce((sum, { name }) => sum + source.tensors.get(name)!.byteLength, 0);
    } else writeSafetensors(filePath, shard, metadata);
  }
  if (index !== null) writeFileAtomic(path.join(partial, index.fileName), index.text);

  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  writeFileAtomic(path.join(partial, "config.json"), json(configKeysOf(config, layout, generation, byName)));
  writeFileAtomic(path.join(partial, "generation_config.json"), json(toGenerationConfig(generation)));
  await copyTokenizer(folder, partial);
  commit(partial, output);
  return { path: output, layout, files: files.size, filesKept, byteLength, notes: source.notes };
}

/** What an export is made of: another of these is another export, and shares no files with it. */
function manifestOf(options: ExportOptions, source: ModelTensors): Record<string, unknown> {
  const hash = createHash("sha256");
  for (const name of fs.readdirSync(options.folder).sort()) {
    const { size, mtimeMs } = fs.statSync(path.join(options.folder, name));
    hash.update(`${JSON.stringify([name, size, mtimeMs])}\n`);
  }
  for (const { name, dtype, shape } of source.tensors.values())
    hash.update(`${JSON.stringify([name, dtype, shape])}\n`);
  const { folder, layout, type, maxShardBytes = defaultMaxShardBytes } = options;
  return {
    format: manifestFormat,
    source: path.resolve(folder),
    files: hash.digest("hex"),
    layout,
    type,
    maxShardBytes,
  };
}

/** Makes the folder of an export, or leaves it as the same export has left it. */
function prepare(partial: string, manifest: Record<string, unknown>): void {
  const manifestPath = path.join(partial, manifestName);
  if (fs.existsSync(partial)) {
    const text = fs.existsSync(manifestPath) ? readJsonFile(manifestPath) : undefined;
    if (!isPlainObject(text) || text.format !== manifestFormat) {
      throw new RookeryError(
        "FILE_UNWRITABLE",
        `cannot write ${partial}: it is there and is no interrupted export`,
        "choose another name, or remove it",
      );
    }
    if (JSON.stringify(text) === JSON.stringify(manifest)) return;
    fs.rmSync(partial, { recursive: true });
  }
  makeFolder(partial);
  writeFileAtomic(manifestPath, `${JSON.stringify(manifest, null, 2)}\n`);
}

/** A tensor in the type asked for: norms and router stay wide, as in the official layout. `onPiece` hears of bytes read. */
function convert(
  source: ModelTensors,
  { name, dtype, shape }: TensorInfo,
  type: ExportType,
  onPiece: (bytes: number) => void,
): TensorToWrite {
  const staysWide = shape.length === 1 || name.endsWith("mlp.gate.wg.weight");
  const wanted = type === "same" ? dtype : staysWide ? "F32" : (type.toUpperCase() as "F32" | "BF16" | "F16");
  function* bytes(): Generator<Uint8Array> {
    for (const piece of source.chunks(name)) {
      yield wanted === dtype ? piece : encodeFloats(toFloats(piece, dtype), wanted as "F32" | "BF16" | "F16", name);
      onPiece(piece.byteLength);
    }
  }
  return { name, dtype: wanted, shape, bytes: { [Symbol.iterator]: bytes } };
}

/** The tokenizer's files and the model card; where a tokenizer is only in the official format, in that of others beside it. */
async function copyTokenizer(folder: string, into: string): Promise<void> {
  for (const name of copiedNames) {
    const from = path.join(folder, name);
    if (fs.existsSync(from)) fs.copyFileSync(from, path.join(into, name));
  }
  const hasTokenizer = fs.existsSync(path.join(into, "tokenizer.json"));
  if (!hasTokenizer && fs.existsSync(path.join(into, "hy.tiktoken"))) await (await Tokenizer.load(folder)).save(into);
}

function commit(partial: string, output: string): void {
  try {
    syncFolder(partial);
    fs.renameSync(partial, output);
    syncFolder(path.dirname(path.resolve(output)));
    // Last, so that whatever is left under the other name can still be gone on with.
    fs.rmSync(path.join(output, manifestName));
  } catch (error) {
    throw fileError(error, output, "write");
  }
}
