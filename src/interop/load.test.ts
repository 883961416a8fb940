import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { tinyModel, tinyTokenizer, writeTinyModel } from "../../test/tiny-model.ts";
import { RookeryError } from "../base/errors.ts";
import { writeSafetensors } from "../formats/safetensors.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { Execution } from "../tensor/execution.ts";
import { embedding } from "../tensor/ops/embedding.ts";
import { linear } from "../tensor/ops/linear.ts";
import { toFloats } from "./floats.ts";
import { loadModel, loadTransformer } from "./load.ts";
import { readModelDirectory } from "./model-directory.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-load-"));
after(() => fs.rmSync(root, { recursive: true, force: true }));

let folders = 0;
async function newModel(): Promise<string> {
  const folder = path.join(root, String(folders++));
  fs.mkdirSync(folder);
  return writeTinyModel(folder);
}

async function refusal(run: Promise<unknown>): Promise<RookeryError> {
  const before = liveMemory();
  const error = await run.then(
    () => assert.fail("nothing was thrown"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof RookeryError, String(error));
  assert.ok(!/[\r\n]/.test(error.message + error.hint), error.message);
  assert.deepEqual(liveMemory(), before);
  return error;
}

describe("loading a model", () => {
  it("gives the weights, the tokenizer and the settings that were saved", async () => {
    const folder = await newModel();
    const before = liveMemory();
    {
      const { model, tokenizer, generation, config, layout, notes } = await loadModel(folder);
      using loaded = model;
      using saved = tinyModel();
      for (const [at, { name, tensor }] of loaded.officialTensors().entries()) {
        const expected = saved.officialTensors()[at]!;
        assert.equal(name, expected.name);
        assert.deepEqual(tensor.toBytes(), expected.tensor.toBytes(), name);
      }
      assert.deepEqual(config, saved.config);
      assert.equal(layout, "hunyuan");
      assert.deepEqual(notes, []);
      assert.deepEqual(await tokenizer.encodeText("the chicks"), await tinyTokenizer().encodeText("the chicks"));
      assert.deepEqual(generation.eosTokenIds, [tokenizer.controlId("eos")]);
    }
    assert.deepEqual(liveMemory(), before);
  });

  it("widens bf16 and f16 exactly", async () => {
    for (const [dtype, bits, expected] of [
      ["BF16", [0x3f80, 0xc040, 0x0001, 0xff80], [1, -3, 2 ** -133, Number.NEGATIVE_INFINITY]],
      ["F16", [0x3c00, 0xc200, 0x0001, 0xfc00], [1, -3, 2 ** -24, Number.NEGATIVE_INFINITY]],
    ] as const) {
      const bytes = new Uint8Array(Uint16Array.from(bits).buffer);
      assert.deepEqual(Array.from(toFloats(bytes, dtype)), expected);
      // Bytes that start anywhere, as pieces of a file may.
      const shifted = new Uint8Array([9, ...bytes]).subarray(1);
      assert.deepEqual(Array.from(toFloats(shifted, dtype)), expected);
    }
    const folder = await newModel();
    using saved = tinyModel();
    const tensors = saved.officialTensors().map(({ name, tensor }) => {
      const halves = Uint16Array.from(new Uint32Array(tensor.toBytes().buffer), (word) => word >>> 16);
      return { name, dtype: "BF16" as const, shape: tensor.shape, bytes: new Uint8Array(halves.buffer) };
    });
    writeSafetensors(path.join(folder, "model.safetensors"), tensors);
    const { model } = await loadTransformer(readModelDirectory(folder));
    using loaded = model;
    const name = "model.layers.3.mlp.experts.2.down_proj.weight";
    const find = (of: typeof saved) =>
      of
        .officialTensors()
        .find((one) => one.name === name)!
        .tensor.toFloat32Array();
    const words = new Uint32Array(find(saved).buffer).map((word) => word & 0xffff0000);
    assert.deepEqual(find(loaded), new Float32Array(words.buffer));
  });

  it("keeps packed matrices alone for a model that only serves: the same products, half the memory", async () => {
    const folder = await newModel();
    using execution = new Execution({ threads: 1, computeType: "bf16" });
    const tokens = execution.arena.integers(Int32Array.of(1, 2, 3));
    const empty = liveMemory().bytes;
    const bytes: number[] = [];
    const results = [];
    for (const serving of [undefined, { pool: execution.pool, computeType: "bf16" as const }]) {
      const loaded = await loadModel(folder, {}, serving);
      using model = loaded.model;
      model.keepPacked(execution.pool, "bf16");
      bytes.push(liveMemory().bytes - empty);
      const mixed = model.parameter("model.layers.0.mlp.experts.down_proj");
      const x = execution.arena.tensor("bf16", 3, mixed.in);
      x.setFloats(Float32Array.from({ length: x.elements }, (_, at) => Math.sin(at)));
      const offsets = execution.arena.integers(
        Int32Array.from({ length: mixed.groups + 1 }, (_, at) => Math.min(at, 3)),
      );
      results.push(Array.from(linear(execution, x, mixed, { offsets }).toFloat32Array()));
      results.push(
        Array.from(embedding(execution, tokens, model.parameter("model.embed_tokens.weight")).toFloat32Array()),
      );
      if (serving) assert.throws(() => mixed.weight.toFloat32Array(), { code: "DISPOSED" });
    }
    assert.deepEqual(results.slice(2), results.slice(0, 2));
    assert.ok(bytes[1]! < bytes[0]! / 2, `${bytes[1]} of ${bytes[0]} bytes`);
  });

  it("says in one line what is wrong, and gives back its memory", async () => {
    assert.equal((await refusal(loadModel(path.join(root, "nowhere")))).code, "MODEL_NOT_FOUND");

    const withoutTokenizer = await newModel();
    fs.rmSync(path.join(withoutTokenizer, "tokenizer.json"));
    assert.equal((await refusal(loadModel(withoutTokenizer))).code, "FILE_UNREADABLE");

    const cutShort = await newModel();
    fs.truncateSync(path.join(cutShort, "model.safetensors"), 90_000);
    assert.equal((await refusal(loadModel(cutShort))).code, "FILE_DAMAGED");

    const otherTokenizer = await newModel();
    const configPath = path.join(otherTokenizer, "config.json");
    const config: unknown = JSON.parse(fs.readFileSync(configPath, "utf8"));
    fs.writeFileSync(configPath, JSON.stringify({ ...(config as object), vocab_size: 280 }));
    const error = await refusal(loadModel(otherTokenizer));
    assert.equal(error.code, "UNSUPPORTED_MODEL");
    assert.match(error.message, /the tokenizer has ids up to 289, the model only up to 279/);
  });

  it("stops when asked", async () => {
    const folder = await newModel();
    const before = liveMemory();
    await assert.rejects(loadModel(folder, { signal: AbortSignal.abort() }), { name: "AbortError" });
    assert.deepEqual(liveMemory(), before);
  });
});
