import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { writeTinyModel } from "../../test/tiny-model.ts";
import { loadModel } from "../interop/load.ts";
import { quantizeAndMeasure, quantizeSchema } from "./commands/quantize.ts";
import { agreementOf } from "./quantize-measure.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-quantize-command-"));
after(() => fs.rmSync(folder, { recursive: true }));

const run = (options: object) => quantizeAndMeasure(quantizeSchema.parse(options), {});

describe("rookery quantize", () => {
  it("rounds to 4 bits by GPTQ, measures, and writes what it measured into the model card", async () => {
    const model = await writeTinyModel(folder, { intermediateSize: 64 });
    const text = path.join(folder, "text.txt");
    fs.writeFileSync(text, "the penguins and the chicks on the rock, and the cold sea. ".repeat(12));
    const result = await run({ model, scheme: "int4", calibration: text, text, threads: 2 });
    assert.equal(result.folder, `${model}-int4`);
    assert.equal(result.rounding, "gptq");
    const { before, after: found } = result;
    assert.ok(found.fileBytes < before.fileBytes);
    assert.ok(Math.abs(found.bitsPerByte! / before.bitsPerByte! - 1) < 0.5 && found.bitsPerByte !== before.bitsPerByte);
    assert.match(
      fs.readFileSync(path.join(result.folder, "README.md"), "utf8"),
      /bits per byte of held-out text \| \d/,
    );
    const loaded = await loadModel(result.folder);
    using small = loaded.model;
    assert.ok(small.parameter("model.layers.0.self_attn.q_proj.weight").quantized);
    await assert.rejects(run({ model, scheme: "int4" }), { code: "FILE_UNWRITABLE", message: /is there already/ });
  });

  it("finds static scales of activations, and asks for a text to find them on", async () => {
    const model = path.join(folder, "model");
    const text = path.join(folder, "text.txt");
    const options = { model, scheme: "fp8", activations: "static", measure: false };
    await assert.rejects(run(options), { code: "INVALID_OPTION", message: /calibration/ });
    const result = await run({ ...options, calibration: text, threads: 2 });
    const loaded = await loadModel(result.folder);
    using small = loaded.model;
    const { quantized } = small.parameter("model.layers.0.mlp.experts.down_proj");
    assert.ok(quantized!.activationScale(0) > 0 && quantized!.activationScale(0) < 1);
  });

  it("counts how far continuations are the same", () => {
    assert.deepEqual(
      agreementOf(
        [
          [1, 2, 3, 4],
          [5, 6, 7, 8],
        ],
        [
          [1, 2, 3, 4],
          [5, 6, 0, 8],
        ],
      ),
      { prompts: 2, tokensEach: 4, identical: 1, meanSharedPrefix: 0.75 },
    );
  });
});
