import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { tinyModel, writeTinyModel } from "../../test/tiny-model.ts";
import { SafetensorsFile, type TensorToWrite, writeSafetensors } from "../formats/safetensors.ts";
import { writeShardedSafetensors } from "../formats/safetensors-shards.ts";
import type { ModelConfig } from "../model/config.ts";
import { loadTransformer } from "./load.ts";
import { readModelDirectory } from "./model-directory.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-fused-"));
after(() => fs.rmSync(root, { recursive: true, force: true }));

type Stored = { name: string; shape: readonly number[]; bytes: Uint8Array };

const headDim = 24;
const dense = { numExperts: 0, topK: 0 };

/** Rows `first` to `first + rows − 1`. */
function rowsOf({ shape, bytes }: Stored, first: number, rows: number): Uint8Array {
  const rowBytes = bytes.byteLength / shape[0]!;
  return bytes.subarray(first * rowBytes, (first + rows) * rowBytes);
}

function joined(name: string, shape: readonly number[], parts: readonly Uint8Array[]): Stored {
  return { name, shape, bytes: new Uint8Array(Buffer.concat(parts)) };
}

/** q, k and v of each KV head (4 query heads on 2) in one, written down from the definition, not from the reader. */
function fuseAttention(q: Stored, k: Stored, v: Stored): Stored {
  const parts = [0, 1].flatMap((group) => [
    rowsOf(q, 2 * group * headDim, 2 * headDim),
    rowsOf(k, group * headDim, headDim),
    rowsOf(v, group * headDim, headDim),
  ]);
  return joined(q.name.replace("q_proj", "qkv_proj"), [8 * headDim, q.shape[1]!], parts);
}

/** How the Hunyuan models of January 2025 are stored: one qkv_proj a layer, and up above gate. */
function fuseLikeHunyuan7B(stored: ReadonlyMap<string, Stored>): Stored[] {
  return [...stored.values()].flatMap((one) => {
    const at = (part: string): Stored => stored.get(one.name.replace(/[a-z]+_proj/, part))!;
    if (/\.[kv]_proj/.test(one.name) || one.name.endsWith(".up_proj.weight")) return [];
    if (one.name.endsWith(".q_proj.weight")) {
      const ownsKeyValue = stored.has(one.name.replace("q_proj", "k_proj"));
      return ownsKeyValue ? fuseAttention(one, at("k_proj"), at("v_proj")) : one;
    }
    if (!one.name.endsWith(".gate_proj.weight")) return one;
    const shape = [2 * one.shape[0]!, one.shape[1]!];
    return joined(one.name.replace("gate_proj", "gate_and_up_proj"), shape, [at("up_proj").bytes, one.bytes]);
  });
}

/** How transformers 5 holds a mixture: all experts of a layer in one, gate above up. */
function fuseLikeTransformers(stored: ReadonlyMap<string, Stored>): Stored[] {
  return [...stored.values()].flatMap((one) => {
    const match = /^(.*\.experts\.)(\d+)\.(gate|up|down)_proj\.weight$/.exec(one.name);
    if (match === null) return one;
    const [, prefix = "", index, part] = match;
    if (index !== "0" || part === "up") return [];
    const each = (name: string): Stored[] => [0, 1, 2, 3].map((e) => stored.get(`${prefix}${e}.${name}_proj.weight`)!);
    if (part === "down")
      return joined(
        `${prefix}down_proj`,
        [4, ...one.shape],
        each("down").map((e) => e.bytes),
      );
    const parts = each("gate").flatMap((gate, e) => [gate.bytes, each("up")[e]!.bytes]);
    return joined(`${prefix}gate_up_proj`, [4, 2 * one.shape[0]!, one.shape[1]!], parts);
  });
}

let folders = 0;
async function newFolder(changes: Partial<ModelConfig>): Promise<{ folder: string; stored: Map<string, Stored> }> {
  const parent = path.join(root, String(folders++));
  fs.mkdirSync(parent);
  const folder = await writeTinyModel(parent, changes);
  using file = SafetensorsFile.open(path.join(folder, "model.safetensors"));
  const stored = [...file.tensors.values()].map(({ name, shape }) => [name, { name, shape, bytes: file.read(name) }]);
  return { folder, stored: new Map(stored as [string, Stored][]) };
}

const toWrite = (tensors: readonly Stored[]): TensorToWrite[] => tensors.map((one) => ({ ...one, dtype: "F32" }));

const models: [string, Partial<ModelConfig>, typeof fuseLikeHunyuan7B][] = [
  ["a dense model as Hunyuan-7B is stored", { ...dense, claShareFactor: 1 }, fuseLikeHunyuan7B],
  ["a dense model with cross-layer attention", dense, fuseLikeHunyuan7B],
  ["a mixture with two shared experts, stored likewise", { numSharedExperts: 2 }, fuseLikeHunyuan7B],
  ["a mixture as transformers 5 holds it", { topK: 2, claShareFactor: 1 }, fuseLikeTransformers],
];

describe("tensors that hold several of the state dict", () => {
  for (const [what, changes, fuse] of models) {
    it(`are read as what they hold: ${what}`, async () => {
      const { folder, stored } = await newFolder(changes);
      const fused = fuse(stored);
      assert.ok(fused.length < stored.size);
      fs.rmSync(path.join(folder, "model.safetensors"));
      writeShardedSafetensors(folder, "model", toWrite(fused), { maxShardBytes: 40_000 });
      const directory = readModelDirectory(folder);
      using source = directory.openTensors();
      for (const { name, bytes } of stored.values()) {
        assert.ok(Buffer.from(source.read(name)).equals(bytes), name);
        // pieces that begin and end within rows and groups
        const pieces = Array.from(source.chunks(name, 1000), (piece) => Buffer.from(piece));
        assert.ok(Buffer.concat(pieces).equals(bytes), name);
      }
      const { model } = await loadTransformer(directory);
      using loaded = model;
      using saved = tinyModel(changes);
      for (const [at, { name, tensor }] of saved.officialTensors().entries()) {
        assert.ok(Buffer.from(tensor.toBytes()).equals(loaded.officialTensors()[at]!.tensor.toBytes()), name);
      }
    });
  }

  it("are refused when their shape is another, or when something is missing beside them", async () => {
    const { folder, stored } = await newFolder({ ...dense, claShareFactor: 1 });
    const fused = fuseLikeHunyuan7B(stored);
    const write = (tensors: readonly Stored[]): void => {
      writeSafetensors(path.join(folder, "model.safetensors"), toWrite(tensors));
    };
    const name = "model.layers.1.self_attn.qkv_proj.weight";
    write(fused.map((one) => (one.name === name ? { ...one, shape: [one.shape[0]! / 2, one.shape[1]! * 2] } : one)));
    assert.throws(() => readModelDirectory(folder).openTensors(), {
      code: "FILE_DAMAGED",
      message: /qkv_proj.* is \[96/,
    });
    write(fused.filter((one) => one.name !== name));
    assert.throws(() => readModelDirectory(folder).openTensors(), { message: /missing.*layers\.1\.self_attn\.q_proj/ });
    write([...fused, { ...fused[0]!, name: "model.layers.9.self_attn.qkv_proj.weight" }]);
    assert.throws(() => readModelDirectory(folder).openTensors(), { message: /does not know.*layers\.9/ });
  });
});

describe("some layers of a model", () => {
  it("are loaded from the files that hold them, and compute as within the whole", async () => {
    const { folder, stored } = await newFolder({});
    fs.rmSync(path.join(folder, "model.safetensors"));
    writeShardedSafetensors(folder, "model", toWrite([...stored.values()]), { maxShardBytes: 60_000 });
    const index = path.join(folder, "model.safetensors.index.json");
    const map = (JSON.parse(fs.readFileSync(index, "utf8")) as { weight_map: Record<string, string> }).weight_map;
    const needed = new Set(Object.entries(map).flatMap(([name, file]) => (/layers\.[014]\./.test(name) ? [] : [file])));
    const others = [...new Set(Object.values(map))].filter((file) => !needed.has(file));
    assert.ok(others.length > 2, "some files hold other layers only");
    for (const file of others) fs.rmSync(path.join(folder, file));

    const directory = readModelDirectory(folder);
    assert.throws(() => directory.openTensors(), { code: "FILE_UNREADABLE" });
    const { model } = await loadTransformer(directory, {}, { layers: { first: 2, count: 2 } });
    using loaded = model;
    assert.equal(loaded.config.numHiddenLayers, 2);
    for (const { name, tensor } of loaded.officialTensors()) {
      const original = name.replace(/layers\.(\d)/, (_, layer: string) => `layers.${Number(layer) + 2}`);
      assert.ok(Buffer.from(tensor.toBytes()).equals(stored.get(original)!.bytes), name);
    }
  });

  it("begin where keys and values are their own, and are there", async () => {
    const directory = readModelDirectory((await newFolder({})).folder);
    for (const [layers, hint] of [
      [{ first: 1, count: 2 }, /a multiple of 2/],
      [{ first: 4, count: 2 }, /./],
      [{ first: 0, count: 0 }, /./],
      [{ first: -2, count: 2 }, /./],
      [{ first: 0.5, count: 2 }, /./],
    ] as const) {
      await assert.rejects(loadTransformer(directory, {}, { layers }), { code: "INVALID_OPTION", hint });
    }
  });
});
