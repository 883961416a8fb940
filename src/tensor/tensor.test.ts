import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { roundToBf16 } from "../../test/twins/support.ts";
import { RookeryError } from "../base/errors.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { elementsOf, Tensor } from "./tensor.ts";

const disposed = (error: unknown) => error instanceof RookeryError && error.code === "DISPOSED";

function persistent(dtype: "f32" | "bf16" | "i32", ...shape: number[]) {
  const { tensor, memory } = Tensor.persistent(dtype, shape);
  return { tensor, memory, [Symbol.dispose]: () => memory[Symbol.dispose]() };
}

test("a persistent tensor starts at zero, and is gone with its memory", () => {
  const before = liveMemory();
  const { tensor, memory } = Tensor.persistent("f32", [3, 4]);
  assert.deepEqual(tensor.toFloat32Array(), new Float32Array(12));
  assert.deepEqual(liveMemory(), { buffers: before.buffers + 1, bytes: before.bytes + 48 });
  memory[Symbol.dispose]();
  assert.throws(() => tensor.address, disposed);
  assert.throws(() => tensor.toBytes(), disposed);
  assert.throws(() => tensor.setFloats(new Float32Array(12)), disposed);
  assert.throws(() => tensor.rows(0, 1).zero(), disposed);
  assert.deepEqual(liveMemory(), before);
});

test("what is read out is a copy, and stays when the tensor changes or dies", () => {
  const owner = persistent("f32", 4);
  owner.tensor.setFloats(Float32Array.of(1, 2, 3, 4));
  const [floats, bytes] = [owner.tensor.toFloat32Array(), owner.tensor.toBytes()];
  floats.fill(9);
  bytes.fill(9);
  assert.deepEqual(owner.tensor.toFloat32Array(), Float32Array.of(1, 2, 3, 4));
  const kept = owner.tensor.toBytes();
  owner.tensor.zero();
  owner[Symbol.dispose]();
  assert.deepEqual(new Float32Array(kept.buffer), Float32Array.of(1, 2, 3, 4));
  assert.equal(kept.buffer.byteLength, 16, "the copy has a buffer of its own, not the whole memory");
});

test("what is written in is copied too", () => {
  using owner = persistent("i32", 3);
  const values = Int32Array.of(1, -2, 3);
  owner.tensor.setIntegers(values);
  values.fill(0);
  assert.deepEqual(owner.tensor.toInt32Array(), Int32Array.of(1, -2, 3));
});

test("views share the place: rows and reshape, and rows of a reshape", () => {
  using owner = persistent("f32", 4, 3);
  const { tensor } = owner;
  tensor.setFloats(Float32Array.from({ length: 12 }, (_, i) => i));
  const middle = tensor.rows(1, 2);
  assert.deepEqual(middle.shape, [2, 3]);
  assert.deepEqual(middle.toFloat32Array(), Float32Array.of(3, 4, 5, 6, 7, 8));
  assert.equal(middle.address, tensor.address + 12);
  middle.rows(1, 1).setFloats(Float32Array.of(-6, -7, -8));
  assert.deepEqual(tensor.rows(2, 1).toFloat32Array(), Float32Array.of(-6, -7, -8));
  const reshaped = tensor.reshape(2, 6);
  assert.deepEqual(reshaped.rows(1, 1).toFloat32Array(), Float32Array.of(-6, -7, -8, 9, 10, 11));
  assert.deepEqual(tensor.rows(4, 0).toFloat32Array(), new Float32Array(0));
  assert.equal(tensor.size(-1), 3);
  assert.equal(tensor.size(0), 4);
});

test("views, shapes and contents that do not fit are refused with their numbers", () => {
  using owner = persistent("f32", 4, 3);
  const { tensor } = owner;
  assert.throws(() => tensor.rows(3, 2), /rows 3\.\.5 of 4/);
  for (const [start, count] of [
    [-1, 2],
    [0, -1],
    [0.5, 1],
    [Number.NaN, 1],
  ] as const) {
    assert.throws(() => tensor.rows(start, count), RangeError);
  }
  assert.throws(() => tensor.reshape(5, 3), /\[4, 3\] cannot be seen as \[5, 3\]/);
  assert.throws(() => tensor.size(2), /\[4, 3\] has no dimension 2/);
  assert.throws(() => tensor.setFloats(new Float32Array(11)), /11 values for 12 elements/);
  assert.throws(() => tensor.setBytes(new Uint8Array(47)), /47 bytes for 48/);
  assert.throws(() => tensor.setIntegers(new Int32Array(12)), RangeError);
  assert.throws(() => tensor.toInt32Array(), RangeError);
  assert.throws(() => new Tensor("f32", [13], tensor.place), /52 bytes at 0 does not fit 48/);
  assert.throws(() => new Tensor("f32", [1], tensor.place, 48), RangeError);
  assert.throws(() => elementsOf([2, -1]), /\[2, -1\]/);
  assert.throws(() => elementsOf([1.5]), RangeError);
  assert.throws(() => elementsOf([2 ** 30, 2 ** 30]), /too many elements/);
});

test("integers are no activations", () => {
  using owner = persistent("i32", 2);
  assert.throws(() => owner.tensor.dtypeCode, /i32/);
  assert.throws(() => owner.tensor.setFloats(new Float32Array(2)), RangeError);
  assert.throws(() => owner.tensor.toFloat32Array(), RangeError);
});

test("floats survive f32 to the bit", () => {
  using owner = persistent("f32", 6);
  const values = Float32Array.of(-0, Number.NaN, Infinity, -Infinity, 1e-45, 3.4e38);
  owner.tensor.setFloats(values);
  assert.deepEqual(owner.tensor.toFloat32Array(), values);
});

test("floats are rounded to bf16, to nearest even", () => {
  const odd = [0, -0, 1e-45, Infinity, -Infinity, Number.NaN, 3.4028234e38, 1 + 2 ** -8, 1 + 3 * 2 ** -8];
  const any = fc.oneof(fc.float(), fc.constantFrom(...odd.map(Math.fround)));
  fc.assert(
    fc.property(fc.array(any, { minLength: 1, maxLength: 20 }), (numbers) => {
      using owner = persistent("bf16", numbers.length);
      owner.tensor.setFloats(Float32Array.from(numbers));
      assert.deepEqual(owner.tensor.toFloat32Array(), Float32Array.from(numbers, roundToBf16));
    }),
    { seed: 1 },
  );
});

test("a NaN whose payload would be rounded away stays one in bf16", () => {
  using owner = persistent("bf16", 1);
  owner.tensor.setFloats(new Float32Array(Uint32Array.of(0x7f800001).buffer));
  assert.ok(Number.isNaN(owner.tensor.toFloat32Array()[0]));
});
