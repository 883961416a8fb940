import assert from "node:assert/strict";
import { test } from "node:test";
import { classOf, outsideKernels, profileOf } from "./profile.ts";

test("a kernel belongs to one class of work", () => {
  assert.equal(classOf("rookery_matmul"), "products");
  assert.equal(classOf("rookery_matmul_packing"), "products that pack weights");
  assert.equal(classOf("rookery_weight_gradient"), "weight gradients");
  assert.equal(classOf("rookery_attention_backward"), "attention");
  assert.equal(classOf("rookery_cross_entropy"), "head and loss");
  assert.equal(classOf("rookery_adamw"), "optimizer");
  assert.equal(classOf("rookery_something"), "other kernels");
});

test("the parts of a step add up to it", () => {
  const profile = profileOf({
    repetitions: 2,
    seconds: 2,
    kernels: [
      { kernel: "rookery_matmul", calls: 8, seconds: 1 },
      { kernel: "rookery_adamw", calls: 2, seconds: 0.25 },
      { kernel: "rookery_sum_of_squares", calls: 2, seconds: 0.25 },
    ],
  });
  assert.equal(profile.secondsPerStep, 1);
  assert.deepEqual(
    profile.classes.map((line) => [line.name, line.secondsPerStep, line.share]),
    [
      ["products", 0.5, 0.5],
      ["optimizer", 0.25, 0.25],
      [outsideKernels, 0.25, 0.25],
    ],
  );
  assert.deepEqual(profile.kernels[0], { name: "matmul", secondsPerStep: 0.5, share: 0.5, callsPerStep: 4 });
});
