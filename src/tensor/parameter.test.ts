import assert from "node:assert/strict";
import { test } from "node:test";
import { RookeryError } from "../base/errors.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { ThreadPool } from "../kernels/bindings/threads.ts";
import { Parameter } from "./parameter.ts";

const disposed = (error: unknown) => error instanceof RookeryError && error.code === "DISPOSED";

test("weights start at zero; the gradient is made when it is first asked for", () => {
  const before = liveMemory();
  {
    using parameter = new Parameter("w", [2, 3, 4], "matrix");
    assert.deepEqual([parameter.groups, parameter.out, parameter.in], [2, 3, 4]);
    assert.deepEqual(parameter.weight.toFloat32Array(), new Float32Array(24));
    assert.equal(liveMemory().buffers, before.buffers + 1);
    assert.equal(parameter.gradient, parameter.gradient);
    assert.equal(liveMemory().buffers, before.buffers + 2);
  }
  assert.deepEqual(liveMemory(), before);
});

test("a norm's weight has one group, and one row", () => {
  using parameter = new Parameter("norm", [5], "array");
  assert.deepEqual([parameter.groups, parameter.out, parameter.in], [1, 1, 5]);
});

test("within a step the first touch overwrites or zeroes, later ones add", () => {
  using parameter = new Parameter("w", [1, 2], "array");
  const dirty = () => parameter.gradient.setFloats(Float32Array.of(8, 8));
  const gradient = () => [...parameter.gradient.toFloat32Array()];
  dirty();
  parameter.startGradient();
  assert.equal(parameter.accumulateGradient(), 0);
  assert.equal(parameter.accumulateGradient(), 1);
  assert.deepEqual(gradient(), [8, 8], "a kernel that overwrites finds what it finds");

  parameter.startGradient();
  assert.deepEqual([...parameter.gradientToAddTo().toFloat32Array()], [0, 0]);
  dirty();
  parameter.gradientToAddTo();
  assert.deepEqual(gradient(), [8, 8]);
  parameter.finishGradient();
  assert.deepEqual(gradient(), [8, 8], "what was touched stays");

  parameter.startGradient();
  parameter.finishGradient();
  assert.deepEqual(gradient(), [0, 0], "what nobody touched is zero");
});

test("packing keeps its room, makes new for another type, and gives all back", () => {
  const before = liveMemory();
  {
    using pool = new ThreadPool(1);
    using parameter = new Parameter("w", [64, 64], "matrix");
    parameter.pack(pool, "bf16", "forward");
    const { address } = parameter.packed("forward");
    assert.throws(() => parameter.packed("backward"), /w was not packed for the backward product/);
    parameter.pack(pool, "bf16", "both");
    assert.equal(parameter.packed("forward").address, address);
    const old = parameter.packed("backward");
    parameter.pack(pool, "f32", "forward");
    assert.throws(() => old.address, disposed);
    assert.throws(() => parameter.packed("backward"), /not packed/, "a stale copy of the other type is gone");
  }
  assert.deepEqual(liveMemory(), before);
});

test("an array is never packed", () => {
  using pool = new ThreadPool(1);
  const before = liveMemory();
  using parameter = new Parameter("norm", [4], "array");
  parameter.pack(pool, "bf16", "both");
  assert.equal(liveMemory().buffers, before.buffers + 1);
  assert.throws(() => parameter.packed("forward"), /norm was not packed/);
});

test("after dispose every use is refused by name", () => {
  using pool = new ThreadPool(1);
  const parameter = new Parameter("w", [2, 2], "matrix");
  const { weight, gradient } = parameter;
  parameter.pack(pool, "f32", "both");
  const packed = parameter.packed("forward");
  parameter[Symbol.dispose]();
  for (const use of [() => weight.toBytes(), () => gradient.toBytes(), () => packed.address]) {
    assert.throws(use, disposed);
  }
  assert.throws(() => parameter.pack(pool, "f32", "both"), disposed);
  parameter[Symbol.dispose]();
});
