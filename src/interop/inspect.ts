/** What a model directory holds, from its headers alone: `rookery info` of hundreds of gigabytes takes seconds. */
import fs from "node:fs";
import path from "node:path";
import type { SafetensorsDtype } from "../formats/safetensors.ts";
import type { Layout } from "./layout.ts";
import type { ModelDirectory } from "./model-directory.ts";

export type DirectoryReport = {
  path: string;
  layout: Layout;
  files: number;
  /** Of the files; of the tensors by their type. */
  byteLength: number;
  tensors: number;
  bytesOfType: Partial<Record<SafetensorsDtype, number>>;
  tokenizer: "tokenizer.json" | "hy.tiktoken" | null;
  /** What was passed over in the weights, and why. */
  notes: readonly string[];
};

/**
 * Checks every tensor's name, type, shape and place against config.json. No weight is read. Throws as `openTensors` does.
 */
export function inspectDirectory(directory: ModelDirectory): DirectoryReport {
  using source = directory.openTensors();
  const bytesOfType: Partial<Record<SafetensorsDtype, number>> = {};
  for (const { dtype, byteLength } of source.tensors.values()) {
    bytesOfType[dtype] = (bytesOfType[dtype] ?? 0) + byteLength;
  }
  const files = fs.readdirSync(directory.path).filter((name) => name.endsWith(".safetensors"));
  const has = (name: string): boolean => fs.existsSync(path.join(directory.path, name));
  return {
    path: directory.path,
    layout: directory.layout,
    files: files.length,
    byteLength: files.reduce((sum, name) => sum + fs.statSync(path.join(directory.path, name)).size, 0),
    tensors: source.tensors.size,
    bytesOfType,
    tokenizer: has("tokenizer.json") ? "tokenizer.json" : has("hy.tiktoken") ? "hy.tiktoken" : null,
    notes: source.notes,
  };
}
