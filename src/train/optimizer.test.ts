import assert from "node:assert/strict";
import { test } from "node:test";
import { adamw } from "../../test/twins/optim.ts";
import { normals, relativeError } from "../../test/twins/support.ts";
import { bitsOf, tinyConfig } from "../../test/twins/tiny.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import type { ComputeType } from "../tensor/tensor.ts";
import { AdamW } from "./optimizer.ts";

const settings = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 };
const config = { ...tinyConfig, numHiddenLayers: 2, tieWordEmbeddings: false };

function setUp(firstMomentType: ComputeType = "f32") {
  const stack = new DisposableStack();
  const model = stack.use(new Transformer(config));
  model.initialize(1);
  const execution = stack.use(new Execution({ threads: 2, computeType: "f32" }));
  const optimizer = stack.use(new AdamW(model, { ...settings, firstMomentType }));
  return { model, execution, optimizer, [Symbol.dispose]: () => stack.dispose() };
}

function fillGradients(model: Transformer, step: number): void {
  for (const [index, parameter] of [...model.parameters.values()].entries()) {
    parameter.gradient.setFloats(Float32Array.from(normals(parameter.gradient.elements, 100 * step + index)));
  }
}

function weights(model: Transformer): Map<string, Float32Array> {
  return new Map([...model.parameters].map(([name, { weight }]) => [name, weight.toFloat32Array()]));
}

test("every parameter follows AdamW: norms without decay, specialised experts at a rate of their own", () => {
  const before = liveMemory();
  {
    using all = setUp();
    const { model, execution, optimizer } = all;
    const zeros = (count: number) => new Float64Array(count);
    const twins = new Map(
      [...weights(model)].map(([name, weight]) => {
        return [name, { weight: Float64Array.from(weight), m: zeros(weight.length), v: zeros(weight.length) }];
      }),
    );
    const rates = { learningRate: 0.01, expertLearningRate: 0.0025, gradientScale: 0.5 };
    for (let step = 1; step <= 3; step++) {
      fillGradients(model, step);
      optimizer.update(execution, rates);
      for (const { name, role } of model.descriptions) {
        const gradient = Float64Array.from(model.parameter(name).gradient.toFloat32Array());
        const next = adamw(twins.get(name)!, gradient, step, {
          learningRate: role === "expert" ? 0.0025 : 0.01,
          beta1: 0.9,
          beta2: 0.95,
          eps: 1e-8,
          decay: role === "norm" ? 0 : 0.1,
          gradientScale: 0.5,
        });
        twins.set(name, next as NonNullable<ReturnType<typeof twins.get>>);
      }
    }
    assert.equal(optimizer.steps, 3);
    const start = new Transformer(config);
    start.initialize(1);
    for (const [name, weight] of weights(model)) {
      const origin = start.parameter(name).weight.toFloat32Array();
      // what moved, so that a decay of a thousandth of the weight is not lost beside the weight
      const moved = weight.map((value, i) => value - origin[i]!);
      const expected = twins.get(name)!.weight.map((value, i) => value - origin[i]!);
      assert.ok(relativeError(moved, expected) < 1e-4, `${name}: ${relativeError(moved, expected)}`);
    }
    start[Symbol.dispose]();
    for (const { name, tensor } of optimizer.stateTensors()) {
      const [, moment, parameter] = /^optimizer\.([mv])\.(.*)$/.exec(name)!;
      const expected = twins.get(parameter!)![moment as "m" | "v"];
      assert.ok(relativeError(tensor.toFloat32Array(), expected) < 1e-5, name);
    }
  }
  assert.deepEqual(liveMemory(), before);
});

test("without gradients norms stay and all else decays by its own rate", () => {
  using all = setUp();
  const { model, execution, optimizer } = all;
  for (const parameter of model.parameters.values()) parameter.gradient.zero();
  const before = weights(model);
  optimizer.update(execution, { learningRate: 0.5, expertLearningRate: 0.25, gradientScale: 1 });
  for (const { name, role } of model.descriptions) {
    const share = role === "norm" ? 1 : role === "expert" ? 1 - 0.25 * 0.1 : 1 - 0.5 * 0.1;
    const expected = before.get(name)!.map((value) => value * share);
    const actual = model.parameter(name).weight.toFloat32Array();
    assert.ok(relativeError(actual, expected) < 1e-6, name);
  }
});

test("the gradient norm is that of all gradients together, and not finite if one number is not", () => {
  using all = setUp();
  const { model, execution, optimizer } = all;
  fillGradients(model, 1);
  let squares = 0;
  for (const parameter of model.parameters.values()) {
    for (const value of parameter.gradient.toFloat32Array()) squares += value * value;
  }
  assert.ok(Math.abs(optimizer.gradientNorm(execution) / Math.sqrt(squares) - 1) < 1e-6);
  for (const bad of [Number.NaN, Infinity, -Infinity]) {
    fillGradients(model, 1);
    const { gradient } = model.parameter("model.norm.weight");
    gradient.setFloats(gradient.toFloat32Array().fill(bad, 7, 8));
    assert.equal(Number.isFinite(optimizer.gradientNorm(execution)), false, String(bad));
  }
});

test("a first moment in bf16 takes half the memory, and moves weights nearly as f32 does", () => {
  const moved = (type: ComputeType) => {
    const before = liveMemory().bytes;
    using all = setUp(type);
    const { model, execution, optimizer } = all;
    const [start, bytes] = [weights(model), liveMemory().bytes - before];
    for (const step of [1, 2, 3, 4]) {
      fillGradients(model, step);
      optimizer.update(execution, { learningRate: 0.01, expertLearningRate: 0.01, gradientScale: 1 });
    }
    return {
      bytes,
      moved: [...weights(model)].flatMap(([name, now]) => [...now].map((x, i) => x - start.get(name)![i]!)),
    };
  };
  const [f32, bf16] = [moved("f32"), moved("bf16")];
  assert.equal(f32.bytes - bf16.bytes, 2 * f32.moved.length);
  const error = relativeError(bf16.moved, f32.moved);
  assert.ok(error > 1e-5 && error < 3e-3, `${error}`);
});

test("an optimizer restored from its state tensors and steps goes on to the bit", () => {
  using first = setUp();
  using second = setUp();
  const rates = { learningRate: 0.01, expertLearningRate: 0.004, gradientScale: 1 };
  for (const step of [1, 2]) {
    fillGradients(first.model, step);
    first.optimizer.update(first.execution, rates);
  }
  const saved = new Map(first.optimizer.stateTensors().map(({ name, tensor }) => [name, tensor.toBytes()]));
  assert.equal(saved.size, 2 * first.model.parameters.size);
  for (const [name, { weight }] of second.model.parameters) weight.setFloats(weights(first.model).get(name)!);
  for (const { name, tensor } of second.optimizer.stateTensors()) tensor.setBytes(saved.get(name)!);
  second.optimizer.restoreSteps(2);
  for (const { model, execution, optimizer } of [first, second]) {
    fillGradients(model, 3);
    optimizer.update(execution, rates);
  }
  assert.equal(bitsOf(...weights(second.model).values()), bitsOf(...weights(first.model).values()));
  assert.equal(second.optimizer.steps, 3);
});
