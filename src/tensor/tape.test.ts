import assert from "node:assert/strict";
import { test } from "node:test";
import { normals, relativeError } from "../../test/twins/support.ts";
import { RookeryError } from "../base/errors.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { Arena } from "./arena.ts";
import { Execution } from "./execution.ts";
import { add, linear } from "./ops/linear.ts";
import { Parameter } from "./parameter.ts";
import { Tape } from "./tape.ts";
import type { Tensor } from "./tensor.ts";

const disposed = (error: unknown) => error instanceof RookeryError && error.code === "DISPOSED";

/** Adds on the host; the ops add by a kernel. */
function addOnHost(from: Tensor, to: Tensor): void {
  const sum = to.toFloat32Array();
  from.toFloat32Array().forEach((value, i) => {
    sum[i]! += value;
  });
  to.setFloats(sum);
}

test("what is recorded runs backward once, last first", () => {
  using arena = new Arena();
  const tape = new Tape(arena);
  const order: number[] = [];
  for (const i of [1, 2, 3]) tape.record([], () => order.push(i));
  tape.runBackward();
  tape.runBackward();
  assert.deepEqual(order, [3, 2, 1]);
});

test("the first consumer overwrites, the others add, the producer takes it all and gives it back", () => {
  using arena = new Arena();
  arena.reserve(1 << 10);
  const tape = new Tape(arena);
  const x = arena.tensor("f32", 2);
  const first = tape.gradientOf(x);
  assert.equal(first.accumulate, 0);
  first.tensor.setFloats(Float32Array.of(1, 2));
  const second = tape.gradientOf(x);
  assert.equal(second.accumulate, 1);
  assert.equal(second.tensor, first.tensor);
  const loan = tape.take(x);
  assert.deepEqual(loan?.tensor.toFloat32Array(), Float32Array.of(1, 2));
  assert.equal(tape.take(x), undefined);
  const { address } = first.tensor;
  loan?.[Symbol.dispose]();
  assert.throws(() => first.tensor.address, disposed);
  assert.equal(arena.borrow("f32", 2).tensor.address, address, "its room is lent again");
});

test("a gradient for kernels that only add is zeroed the first time only", () => {
  using arena = new Arena();
  const tape = new Tape(arena);
  const x = arena.tensor("f32", 2);
  {
    using dirty = arena.borrow("f32", 2);
    dirty.tensor.setFloats(Float32Array.of(7, 7));
  }
  const gradient = tape.zeroedGradientOf(x);
  assert.deepEqual(gradient.toFloat32Array(), new Float32Array(2));
  gradient.setFloats(Float32Array.of(3, 4));
  assert.deepEqual(tape.zeroedGradientOf(x).toFloat32Array(), Float32Array.of(3, 4));
});

test("a kernel that only overwrites adds where another consumer has been", () => {
  using arena = new Arena();
  const tape = new Tape(arena);
  const x = arena.tensor("f32", 2);
  for (const values of [
    [1, 2],
    [10, 20],
    [100, 200],
  ]) {
    using gradient = tape.overwritableGradientOf(x, addOnHost);
    gradient.tensor.setFloats(Float32Array.from(values));
  }
  assert.deepEqual(tape.take(x)?.tensor.toFloat32Array(), Float32Array.of(111, 222));
});

test("pass hands a gradient on without a copy, and adds where there is one", () => {
  using arena = new Arena();
  const tape = new Tape(arena);
  const x = arena.tensor("f32", 2);
  const refuse = () => assert.fail("nothing is to be added");
  const first = arena.borrow("f32", 2);
  first.tensor.setFloats(Float32Array.of(1, 2));
  tape.pass(x, first, refuse);
  assert.equal(tape.gradientOf(x).tensor, first.tensor);
  const second = arena.borrow("f32", 2);
  second.tensor.setFloats(Float32Array.of(10, 20));
  tape.pass(x, second, addOnHost);
  assert.throws(() => second.tensor.address, disposed);
  assert.deepEqual(tape.take(x)?.tensor.toFloat32Array(), Float32Array.of(11, 22));
});

test("gradients that nobody takes are given back after the backward pass", () => {
  using arena = new Arena();
  const tape = new Tape(arena);
  const gradient = tape.gradientOf(arena.tensor("f32", 4)).tensor;
  tape.runBackward();
  assert.throws(() => gradient.address, disposed);
});

test("an output that nobody used sends nothing back", () => {
  using execution = new Execution({ threads: 1, computeType: "f32" });
  using weight = new Parameter("w", [2, 2], "matrix");
  weight.startGradient();
  const x = execution.arena.tensor("f32", 1, 2);
  x.setFloats(Float32Array.of(1, 1));
  const { tape } = execution.record(() => linear(execution, x, weight));
  tape.runBackward();
  weight.finishGradient();
  assert.deepEqual(weight.gradient.toFloat32Array(), new Float32Array(4));
});

test("gradients of several consumers add up, in the activation and in a weight that is used twice", () => {
  const before = liveMemory();
  {
    using execution = new Execution({ threads: 2, computeType: "f32" });
    const { arena } = execution;
    using weight = new Parameter("w", [4, 4], "matrix");
    const w = normals(16, 1);
    weight.weight.setFloats(Float32Array.from(w));
    weight.startGradient();
    const x = arena.tensor("f32", 1, 4);
    const values = normals(4, 2);
    x.setFloats(Float32Array.from(values));
    let dx: Float32Array | undefined;
    // y = W (x + W x + x): x is used three times, W twice.
    const { result: y, tape } = execution.record(() => {
      execution.tape?.record([], () => {
        using gradient = tape.take(x);
        dx = gradient?.tensor.toFloat32Array();
      });
      const inner = linear(execution, x, weight, { residual: x });
      const both = arena.tensor("f32", 1, 4);
      both.setBytes(inner.toBytes());
      add(execution, x, both);
      execution.tape?.record([], () => {
        const gradient = tape.take(both);
        if (!gradient) return;
        const copy = arena.borrow("f32", 1, 4);
        copy.tensor.setBytes(gradient.tensor.toBytes());
        tape.pass(x, copy, (from, to) => add(execution, from, to));
        tape.pass(inner, gradient, (from, to) => add(execution, from, to));
      });
      return linear(execution, both, weight);
    });
    tape.gradientOf(y).tensor.setFloats(Float32Array.of(1, 1, 1, 1));
    tape.runBackward();
    // With u = Wᵀ1: dx = 2 u + Wᵀ u, dW = 1 bothᵀ + u xᵀ.
    const apply = (matrix: (row: number, column: number) => number, vector: ArrayLike<number>) =>
      Float64Array.from({ length: 4 }, (_, row) => {
        let sum = 0;
        for (let column = 0; column < 4; column++) sum += matrix(row, column) * vector[column]!;
        return sum;
      });
    const plain = (row: number, column: number) => w[row * 4 + column]!;
    const transposed = (row: number, column: number) => plain(column, row);
    const u = apply(transposed, [1, 1, 1, 1]);
    const wu = apply(transposed, u);
    const wx = apply(plain, values);
    const expectedX = u.map((value, i) => 2 * value + wu[i]!);
    const expectedW = w.map((_, i) => {
      const [row, column] = [Math.floor(i / 4), i % 4];
      return 2 * values[column]! + wx[column]! + u[row]! * values[column]!;
    });
    assert.ok(relativeError(dx!, expectedX) < 1e-6);
    assert.ok(relativeError(weight.gradient.toFloat32Array(), expectedW) < 1e-6);
  }
  assert.deepEqual(liveMemory(), before);
});

test("a tape records only inside record, and only one at a time, also after a failure", () => {
  const before = liveMemory();
  {
    using execution = new Execution({ threads: 1, computeType: "f32" });
    assert.equal(execution.tape, undefined);
    assert.throws(() => execution.record(() => execution.record(() => 1)), /recording already/);
    assert.equal(execution.tape, undefined);
    const { result, tape } = execution.record(() => execution.tape);
    assert.equal(result, tape);
    assert.equal(execution.tape, undefined);
  }
  assert.deepEqual(liveMemory(), before);
});
