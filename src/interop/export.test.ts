import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { tinyModel, writeTinyModel } from "../../test/tiny-model.ts";
import { RookeryError } from "../base/errors.ts";
import { SafetensorsFile, writeSafetensors } from "../formats/safetensors.ts";
import type { ModelConfig } from "../model/config.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { type ExportOptions, exportModel } from "./export.ts";
import { readModelDirectory } from "./model-directory.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-export-"));
after(() => fs.rmSync(root, { recursive: true, force: true }));

const portable = { claShareFactor: 1, topK: 2, headDim: 24 };

let folders = 0;
/** A new model, and where to export it to. */
async function newExport(changes: Partial<ModelConfig>, options: Partial<ExportOptions> = {}): Promise<ExportOptions> {
  const parent = path.join(root, String(folders++));
  fs.mkdirSync(parent);
  const folder = await writeTinyModel(parent, changes);
  return { folder, output: path.join(parent, "exported"), layout: "hunyuan", type: "same", ...options };
}

function bytesOf(folder: string): Map<string, Buffer> {
  using source = readModelDirectory(folder).openTensors();
  return new Map([...source.tensors.keys()].map((name) => [name, Buffer.from(source.read(name))]));
}

describe("exportModel", () => {
  for (const [layout, changes] of [
    ["hunyuan", portable],
    ["hunyuan", {}],
    ["hunyuan", { numExperts: 0, topK: 0 }],
    ["hunyuan_v1_moe", portable],
    ["hunyuan_v1_moe", { ...portable, topK: 1, topOneGate: "one" }],
    ["hunyuan_v1_dense", { claShareFactor: 1, numExperts: 0, topK: 0 }],
  ] as const) {
    it(`writes the same model in the layout ${layout}: ${JSON.stringify(changes)}`, async () => {
      const options = await newExport(changes, { layout });
      const { notes, files } = await exportModel(options);
      assert.deepEqual([notes, files], [[], 1]);
      const exported = readModelDirectory(options.output);
      assert.equal(exported.layout, layout);
      assert.deepEqual(exported.config, tinyModelConfig(changes));
      assert.deepEqual(exported.generation, readModelDirectory(options.folder).generation);
      const before = bytesOf(options.folder);
      for (const [name, bytes] of bytesOf(options.output)) assert.ok(bytes.equals(before.get(name)!), name);
      assert.equal((await Tokenizer.load(options.output)).vocabularySize, 290);
      assert.deepEqual(fs.readdirSync(path.dirname(options.output)).sort(), ["exported", "model", "tokenizer"]);
      assert.ok(!fs.existsSync(path.join(options.output, "rookery-export.json")));
    });
  }

  it("converts to another type, but for norms and router, and says so in config.json", async () => {
    const original = await newExport(portable);
    for (const [type, dtype, torchDtype] of [
      ["bf16", "BF16", "bfloat16"],
      ["f16", "F16", "float16"],
    ] as const) {
      const options = { ...original, output: path.join(root, `as-${type}`), type };
      await exportModel(options);
      const config = JSON.parse(fs.readFileSync(path.join(options.output, "config.json"), "utf8"));
      assert.equal(config.torch_dtype, torchDtype);
      using source = readModelDirectory(options.output).openTensors();
      for (const tensor of source.tensors.values()) {
        const staysWide = tensor.shape.length === 1 || tensor.name.includes("gate.wg");
        assert.equal(tensor.dtype, staysWide ? "F32" : dtype, tensor.name);
      }
      // and back: what bf16 and f16 hold is exact in f32
      const again = {
        ...original,
        folder: options.output,
        output: path.join(root, `${type}-as-f32`),
        type: "f32" as const,
      };
      await exportModel(again);
      const name = "model.layers.1.mlp.experts.3.down_proj.weight";
      const exact = new Float32Array(new Uint8Array(bytesOf(original.folder).get(name)!).buffer);
      const rounded = new Float32Array(new Uint8Array(bytesOf(again.output).get(name)!).buffer);
      const worst = exact.reduce((most, value, at) => Math.max(most, Math.abs(rounded[at]! / value - 1)), 0);
      assert.ok(worst > 0 && worst < 2 ** -8, `${type}: ${worst}`);
    }
  });

  it("refuses what the layout cannot say, with the reason and a preset that fits, before it writes", async () => {
    for (const [changes, layout, message, hint] of [
      [{}, "hunyuan_v1_moe", /cross-layer attention.*raw probability/, /nano-portable/],
      [portable, "hunyuan_v1_dense", /its layers are dense/, /numExperts 0/],
      [{ ...portable, headDim: 32 }, "hunyuan", /no key for headDim/, /nano and mini/],
    ] as const) {
      const options = await newExport(changes, { layout });
      await assert.rejects(exportModel(options), (error: RookeryError) => {
        assert.ok(error instanceof RookeryError);
        assert.equal(error.code, "UNSUPPORTED_MODEL");
        assert.match(error.message, message);
        assert.match(error.hint, hint);
        return true;
      });
      assert.ok(!fs.existsSync(options.output) && !fs.existsSync(`${options.output}.partial`));
    }
  });

  it("writes over nothing", async () => {
    const options = await newExport({});
    fs.mkdirSync(options.output);
    await assert.rejects(exportModel(options), { code: "FILE_UNWRITABLE", message: /exists/ });
    fs.rmdirSync(options.output);
    fs.mkdirSync(`${options.output}.partial`);
    await assert.rejects(exportModel(options), { code: "FILE_UNWRITABLE", message: /no interrupted export/ });
  });

  it("refuses a weight that the type cannot hold", async () => {
    const options = await newExport(portable, { type: "f16" });
    const file = path.join(options.folder, "model.safetensors");
    const tensors = [...bytesOf(options.folder)];
    using opened = SafetensorsFile.open(file);
    const shapes = new Map([...opened.tensors].map(([name, { shape }]) => [name, shape]));
    new DataView(tensors[0]![1].buffer, tensors[0]![1].byteOffset).setFloat32(0, 1e6, true);
    writeSafetensors(
      file,
      tensors.map(([name, bytes]) => ({ name, dtype: "F32", shape: shapes.get(name)!, bytes })),
    );
    await assert.rejects(exportModel(options), { code: "INVALID_OPTION", message: /F16/ });
    assert.ok(!fs.existsSync(options.output));
  });
});

function tinyModelConfig(changes: Partial<ModelConfig>): ModelConfig {
  using model = tinyModel(changes);
  return model.config;
}

describe("an export that was stopped", () => {
  /** Stops an export once a third of its bytes are written. */
  async function stop(options: ExportOptions): Promise<string[]> {
    const stopping = new AbortController();
    const context = {
      signal: stopping.signal,
      onEvent: (event: { type: string; done?: number; total?: number }) => {
        if (event.type === "progress" && event.done! * 3 > event.total!) stopping.abort();
      },
    };
    await assert.rejects(exportModel(options, context), { name: "AbortError" });
    assert.ok(!fs.existsSync(options.output));
    return fs.readdirSync(`${options.output}.partial`).filter((name) => name.endsWith(".safetensors"));
  }

  it("goes on from the files that are whole", async () => {
    const options = await newExport(portable, { layout: "hunyuan_v1_moe", maxShardBytes: 100_000, type: "bf16" });
    const left = await stop(options);
    assert.ok(left.length > 1);
    const partial = `${options.output}.partial`;
    const times = left.map((name) => fs.statSync(path.join(partial, name)).mtimeMs);
    // one of them is not whole, as if another program had cut it
    fs.truncateSync(path.join(partial, left[0]!), 1000);
    const { filesKept, files } = await exportModel(options);
    assert.equal(filesKept, left.length - 1);
    assert.ok(files > left.length);
    assert.deepEqual(
      left.slice(1).map((name) => fs.statSync(path.join(options.output, name)).mtimeMs),
      times.slice(1),
    );
    const whole = { ...options, output: `${options.output}-at-once` };
    assert.equal((await exportModel(whole)).filesKept, 0);
    for (const name of fs.readdirSync(whole.output)) {
      const [one, other] = [whole, options].map(({ output }) => fs.readFileSync(path.join(output, name)));
      assert.ok(one!.equals(other!), name);
    }
  });

  it("begins anew for another type, another layout, or another source", async () => {
    const options = await newExport(portable, { layout: "hunyuan_v1_moe", maxShardBytes: 100_000 });
    for (const change of [{ type: "bf16" }, { layout: "hunyuan" }, { folder: "touched" }] as const) {
      await stop(options);
      const changed: ExportOptions = { ...options, ...change };
      if (changed.folder === "touched") {
        changed.folder = options.folder;
        const weights = path.join(options.folder, "model.safetensors");
        fs.utimesSync(weights, new Date(0), new Date(1000));
      }
      assert.equal((await exportModel(changed)).filesKept, 0);
      fs.rmSync(options.output, { recursive: true });
    }
  });
});
