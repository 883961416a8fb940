import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { writeTinyModel } from "../../test/tiny-model.ts";
import { loadModel } from "../interop/load.ts";
import { readModelDirectory } from "../interop/model-directory.ts";
import { PackedAttention } from "../model/attention.ts";
import { dropless } from "../model/router.ts";
import type { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import { writeQuantized } from "./quantize.ts";
import { decode, roundMatrix, squaredError } from "./round.ts";
import { planQuantization, schemes } from "./scheme.ts";

/** Final hidden states of a few tokens. */
function hiddenStates(model: Transformer, computeType: "f32" | "bf16"): Float32Array {
  using execution = new Execution({ threads: 2, computeType });
  const { arena } = execution;
  const count = 40;
  const attend = new PackedAttention(execution, model.config, arena.integers(Int32Array.of(0, count, 0, count), 1, 4));
  const tokens = arena.integers(Int32Array.from({ length: count }, (_, i) => (i * 37) % 290));
  const positions = arena.integers(Int32Array.from({ length: count }, (_, i) => i));
  return model.forward(execution, { tokens, positions }, attend, dropless).hidden.toFloat32Array();
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-quantize-"));
after(() => fs.rmSync(folder, { recursive: true }));

/** ‖actual − expected‖ / ‖expected‖. */
function distance(actual: Float32Array, expected: Float32Array): number {
  const { error, norm } = squaredError(actual, expected);
  return Math.sqrt(error / norm);
}

for (const scheme of schemes) {
  describe(`a model in ${scheme}`, () => {
    it("is written, read, and runs as a model of those rounded weights", async () => {
      const source = await writeTinyModel(path.join(folder, scheme), { intermediateSize: 96 });
      const directory = readModelDirectory(source);
      const target = path.join(folder, scheme, "small");
      const plan = planQuantization(directory.config, { scheme });
      const errors = writeQuantized(target, directory, plan, { threads: 2, modelCard: "# Small\n" });
      assert.ok(errors.length > 0 && errors.every(({ relative }) => relative > 0 && relative < 0.2));
      const loaded = await loadModel(target);
      using small = loaded.model;
      const original = await loadModel(source);
      using model = original.model;
      assert.ok(small.parameter("model.layers.0.mlp.experts.gate_up_proj").quantized);
      assert.equal(small.parameter("model.layers.0.mlp.gate.wg.weight").quantized, undefined);
      const exact = hiddenStates(model, "f32");
      for (const { name, tensor } of model.officialTensors()) {
        if (!errors.some((error) => error.name === name)) continue;
        const [rows, columns] = [tensor.size(0), tensor.size(1)];
        const segment = plan.quantization.groupSize ?? columns;
        const rounded = roundMatrix(null, scheme, tensor.toFloat32Array(), { rows, columns, segment });
        tensor.setFloats(decode(scheme, rounded, segment));
      }
      const [found, expected] = [hiddenStates(small, "f32"), hiddenStates(model, "f32")];
      assert.ok(distance(found, exact) > 0.01, "it is not the model that it was made of");
      // rounded activations of random weights go to other experts here and there
      assert.ok(distance(found, expected) < (scheme === "fp8" ? 0.5 : 1e-4), `${distance(found, expected)}`);
      assert.ok(distance(hiddenStates(small, "bf16"), expected) < 0.5);
    });
  });
}
