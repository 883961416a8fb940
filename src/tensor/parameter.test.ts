import assert from "node:assert/strict";
import { test } from "node:test";
import { RookeryError } from "../base/errors.ts";
import { dtypeCodes } from "../kernels/bindings/declare.ts";
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

test("a kept packed copy keeps its room, is made new for another type, and is forgotten on request", () => {
  const before = liveMemory();
  {
    using pool = new ThreadPool(1);
    using parameter = new Parameter("w", [64, 64], "matrix");
    assert.equal(parameter.packed(dtypeCodes.bf16), undefined);
    parameter.keepPacked(pool, "bf16");
    const kept = parameter.packed(dtypeCodes.bf16);
    assert.ok(kept);
    parameter.keepPacked(pool, "bf16");
    assert.equal(parameter.packed(dtypeCodes.bf16), kept);
    assert.equal(parameter.packed(dtypeCodes.f32), undefined, "products of another type do not read it");
    parameter.keepPacked(pool, "f32");
    assert.throws(() => kept.address, disposed);
    parameter.forgetPacked();
    assert.equal(parameter.packed(dtypeCodes.f32), undefined);
  }
  assert.deepEqual(liveMemory(), before);
});

test("an array is never packed", () => {
  using pool = new ThreadPool(1);
  const before = liveMemory();
  using parameter = new Parameter("norm", [4], "array");
  parameter.keepPacked(pool, "bf16");
  assert.equal(liveMemory().buffers, before.buffers + 1);
});

test("after dispose every use is refused by name", () => {
  using pool = new ThreadPool(1);
  const parameter = new Parameter("w", [2, 2], "matrix");
  const { weight, gradient } = parameter;
  parameter.keepPacked(pool, "f32");
  const packed = parameter.packed(dtypeCodes.f32);
  parameter[Symbol.dispose]();
  for (const use of [() => weight.toBytes(), () => gradient.toBytes(), () => packed?.address]) {
    assert.throws(use, disposed);
  }
  assert.throws(() => parameter.keepPacked(pool, "f32"), disposed);
  parameter[Symbol.dispose]();
});
