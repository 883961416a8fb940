import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { tinyConfig, tinyModel, tinyTokenizer, writeModel, writeTinyModel } from "../../../test/tiny-model.ts";
import { RookeryError } from "../../base/errors.ts";
import { GgufFile } from "../../formats/gguf.ts";
import { presets } from "../../model/presets.ts";
import { Tokenizer } from "../../text/tokenizer.ts";
import { exportGguf, whyNotGguf } from "./export.ts";
import { encodeFloats } from "./tensors.ts";
import { vocabularyNotes, whyNotVocabulary } from "./vocabulary.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-export-gguf-"));
after(() => fs.rmSync(root, { recursive: true, force: true }));

/** As many rows as the tiny tokenizer has tokens, and nothing that llama.cpp cannot run. */
const portable = { claShareFactor: 1, topK: 2, vocabularySize: 290 } as const;
let count = 0;
function newFolder(): string {
  const folder = path.join(root, String(count++));
  fs.mkdirSync(folder);
  return folder;
}

async function refusal(folder: string): Promise<RookeryError> {
  const output = path.join(root, "refused.gguf");
  const error: unknown = await exportGguf({ folder, output, type: "f32", name: "x" }).then(
    () => assert.fail("nothing was thrown"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof RookeryError, String(error));
  assert.ok(!fs.existsSync(output));
  return error;
}

describe("export to GGUF", () => {
  it("writes every weight as it is, experts stacked, and what llama.cpp has to know", async () => {
    const folder = newFolder();
    const alpha = { type: "dynamic", alpha: 1000, factor: 1 } as const;
    using model = tinyModel({ ...portable, ropeScaling: alpha, tieWordEmbeddings: false });
    const directory = await writeModel(folder, model, tinyTokenizer());
    const output = path.join(folder, "model.gguf");
    const exported = await exportGguf({ folder: directory, output, type: "f32", name: "tiny" });
    using file = GgufFile.open(output);
    assert.equal(file.tensors.size, exported.tensors);
    const rest = new Map(file.tensors);
    const bytesOf = (name: string): Buffer => Buffer.from(file.read(name));
    const ours = new Map(model.officialTensors().map(({ name, tensor }) => [name, tensor]));
    const pairs = [
      ["model.embed_tokens.weight", "token_embd.weight"],
      ["lm_head.weight", "output.weight"],
      ["model.norm.weight", "output_norm.weight"],
      ...Array.from({ length: 5 }, (_, layer) =>
        [
          ["input_layernorm", "attn_norm"],
          ["post_attention_layernorm", "ffn_norm"],
          ["self_attn.q_proj", "attn_q"],
          ["self_attn.k_proj", "attn_k"],
          ["self_attn.v_proj", "attn_v"],
          ["self_attn.o_proj", "attn_output"],
          ["self_attn.query_layernorm", "attn_q_norm"],
          ["self_attn.key_layernorm", "attn_k_norm"],
          ["mlp.gate.wg", "ffn_gate_inp"],
          ["mlp.shared_mlp.gate_proj", "ffn_gate_shexp"],
          ["mlp.shared_mlp.up_proj", "ffn_up_shexp"],
          ["mlp.shared_mlp.down_proj", "ffn_down_shexp"],
        ].map(([from, to]) => [`model.layers.${layer}.${from}.weight`, `blk.${layer}.${to}.weight`]),
      ).flat(),
    ] as [string, string][];
    for (const [official, name] of pairs) {
      const tensor = ours.get(official)!;
      assert.deepEqual(rest.get(name)?.shape, tensor.shape, name);
      assert.ok(bytesOf(name).equals(tensor.toBytes()), name);
      rest.delete(name);
    }
    for (let layer = 0; layer < 5; layer++) {
      for (const part of ["gate", "up", "down"]) {
        const name = `blk.${layer}.ffn_${part}_exps.weight`;
        const experts = Array.from({ length: 4 }, (_, expert) => {
          return ours.get(`model.layers.${layer}.mlp.experts.${expert}.${part}_proj.weight`)!;
        });
        assert.deepEqual(rest.get(name)?.shape, [4, ...experts[0]!.shape]);
        assert.ok(bytesOf(name).equals(Buffer.concat(experts.map((tensor) => tensor.toBytes()))), name);
        rest.delete(name);
      }
    }
    assert.deepEqual([...rest.keys()], []);

    const value = (key: string): unknown => {
      const found = file.metadata.get(key);
      return found?.type === "array" ? found.values : found?.value;
    };
    assert.equal(value("general.architecture"), "hunyuan-moe");
    assert.equal(value("hunyuan-moe.rope.freq_base"), Math.fround(1e4 * 1000 ** (24 / 22)));
    assert.equal(value("hunyuan-moe.feed_forward_length"), 40);
    assert.equal(value("hunyuan-moe.attention.key_length"), 24);
    assert.equal(value("hunyuan-moe.expert_used_count"), 2);
    const tokenizer = await Tokenizer.load(directory);
    assert.equal((value("tokenizer.ggml.tokens") as string[])[tokenizer.controlId("eos")], "<|eos|>");
    assert.equal((value("tokenizer.ggml.token_type") as number[])[tokenizer.controlId("eos")], 3);
    assert.equal(value("tokenizer.ggml.eos_token_id"), tokenizer.controlId("eos"));
    assert.equal(value("tokenizer.chat_template"), tokenizer.config.chat_template);
    assert.match(exported.notes.join("\n"), /does not normalize text/);
  });

  it("says every reason why llama.cpp cannot run a model, and what would fit", async () => {
    const error = await refusal(await writeTinyModel(newFolder()));
    assert.equal(error.code, "UNSUPPORTED_MODEL");
    assert.match(error.message, /no cross-layer attention \(claShareFactor 2\)/);
    assert.match(error.message, /top-1 gate is always 1 instead of the raw probability/);
    assert.match(error.message, /the model has 307 rows, the tokenizer 290 ids/);
    assert.match(error.hint, /nano-portable/);
    const fits = { ...tinyConfig, ...portable };
    assert.deepEqual(whyNotGguf(fits), []);
    assert.deepEqual(whyNotGguf({ ...fits, topK: 1, topOneGate: "one" }), []);
    assert.deepEqual(whyNotGguf({ ...fits, numExperts: 0, topK: 0 }), []);
    for (const [changes, reason] of [
      [{ numSharedExperts: 0 }, /always has a shared expert/],
      [{ useQkNorm: false }, /QK-norm is always on/],
      [{ ropeScaling: null }, /round rotary frequencies/],
      [{ numExperts: 513 }, /512 experts at most/],
    ] as const) {
      assert.match(whyNotGguf({ ...fits, ...changes }).join(), reason);
    }
    for (const name of ["nano-portable", "mini-portable", "bench-1b"] as const) {
      assert.deepEqual(whyNotGguf(presets[name]), []);
    }
  });

  it("refuses a tokenizer that llama.cpp would read otherwise", () => {
    const { json } = tinyTokenizer();
    assert.deepEqual(whyNotVocabulary(json, 290), []);
    assert.deepEqual(whyNotVocabulary({ ...json, normalizer: null }, 290), []);
    assert.deepEqual(vocabularyNotes({ ...json, normalizer: null }), []);
    assert.match(whyNotVocabulary({ ...json, pre_tokenizer: { type: "ByteLevel" } }, 290).join(), /pre_tokenizer/);
    const added = json.added_tokens.filter(({ id }) => id !== 270);
    assert.match(whyNotVocabulary({ ...json, added_tokens: added }, 290).join(), /270 is none/);
    const whole = { ...json, model: { ...json.model, merges: [], ignore_merges: true } };
    assert.match(vocabularyNotes(whole).join(), /never makes 13 tokens/);
  });

  it("refuses blocks that do not fit, and a file that is there", async () => {
    const folder = await writeTinyModel(newFolder(), portable);
    const output = path.join(root, "once.gguf");
    await assert.rejects(exportGguf({ folder, output, type: "q8_0", name: "x" }), {
      code: "INVALID_OPTION",
      message: /rows of 40; Q8_0 comes in blocks of 32/,
    });
    await exportGguf({ folder, output, type: "bf16", name: "x" });
    await assert.rejects(exportGguf({ folder, output, type: "bf16", name: "x" }), { code: "FILE_UNWRITABLE" });
  });
});

describe("values as GGUF types", () => {
  const encode = (values: number[], type: "F16" | "BF16" | "Q8_0"): Buffer =>
    Buffer.from(encodeFloats(Float32Array.from(values), type, "w"));

  it("rounds to the nearest, ties to even", () => {
    const ulp = 2 ** -7;
    const bf16 = encode([1, 1 + ulp / 2, 1 + 1.5 * ulp, -3.0e38, Number.NaN, Number.POSITIVE_INFINITY], "BF16");
    const halves = Array.from({ length: 6 }, (_, index) => bf16.readUInt16LE(2 * index));
    assert.deepEqual(halves, [0x3f80, 0x3f80, 0x3f82, 0xff62, 0x7fc0, 0x7f80]);
    assert.equal(encode([65_504], "F16").readUInt16LE(), 0x7bff);
  });

  it("Q8_0 keeps each value within half a step of its block", () => {
    const values = Array.from({ length: 64 }, (_, index) => Math.sin(index * index) * (index < 32 ? 3 : 0.01));
    const bytes = encode(values, "Q8_0");
    assert.equal(bytes.byteLength, 68);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    for (const [index, value] of values.entries()) {
      const start = 34 * Math.floor(index / 32);
      const scale = view.getFloat16(start, true);
      const restored = scale * view.getInt8(start + 2 + (index % 32));
      // the scale itself is rounded to f16: 127 times 2^-11 of it more
      assert.ok(Math.abs(restored - value) <= scale * (0.5 + 127 / 2048), `${index}`);
    }
    assert.ok(encode(new Array(32).fill(0), "Q8_0").equals(Buffer.alloc(34)));
  });

  it("refuses what a type cannot hold", () => {
    const refused = { code: "INVALID_OPTION", message: /"w" has a value that/ };
    assert.throws(() => encode([70_000], "F16"), refused);
    assert.throws(() => encode([Number.NaN, ...new Array(31).fill(1)], "Q8_0"), refused);
    assert.throws(() => encode([1e9, ...new Array(31).fill(1)], "Q8_0"), refused);
  });
});
