import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RookeryError } from "../base/errors.ts";
import { liveMemory } from "../kernels/bindings/memory.ts";
import { Arena } from "./arena.ts";
import type { Dtype, Tensor } from "./tensor.ts";

const disposed = (error: unknown) => error instanceof RookeryError && error.code === "DISPOSED";

function assertDead(...tensors: Tensor[]): void {
  for (const tensor of tensors) {
    assert.throws(() => tensor.address, disposed);
    assert.throws(() => tensor.toBytes(), disposed);
    assert.throws(() => tensor.zero(), disposed);
  }
}

test("a tensor of the arena, its views too, dies at reset and says so by name", () => {
  using arena = new Arena();
  const tensor = arena.tensor("bf16", 3, 4);
  const views = [tensor.rows(1, 1), tensor.reshape(12), tensor.rows(0, 2).reshape(4, 2)];
  tensor.zero();
  arena.reset();
  assertDead(tensor, ...views);
  assert.throws(() => tensor.address, /a bf16 tensor \[3, 4\] was used after its step or its buffer ended/);
  arena.tensor("bf16", 3, 4).zero();
  assertDead(tensor);
});

test("a loan dies when it is given back, once and for all", () => {
  using arena = new Arena();
  const loan = arena.borrow("f32", 8);
  const view = loan.tensor.rows(0, 4);
  loan[Symbol.dispose]();
  assertDead(loan.tensor, view);
  const next = arena.borrow("f32", 8);
  // giving back twice must not lend the same place twice
  loan[Symbol.dispose]();
  const another = arena.borrow("f32", 8);
  assert.notEqual(next.tensor.address, another.tensor.address);
});

test("a loan dies at reset, and giving it back later does no harm", () => {
  using arena = new Arena();
  const loan = arena.borrow("f32", 8);
  arena.reset();
  assertDead(loan.tensor);
  const tensor = arena.tensor("f32", 8);
  loan[Symbol.dispose]();
  assert.notEqual(arena.borrow("f32", 8).tensor.address, tensor.address);
});

test("room that was given back is lent again, and the arena does not grow", () => {
  using arena = new Arena();
  arena.reserve(1 << 12);
  const address = (() => {
    using loan = arena.borrow("f32", 1000);
    return loan.tensor.address;
  })();
  const { peakBytes } = arena;
  for (let i = 0; i < 100; i++) {
    // another dtype and shape of the same rounded size
    using loan = arena.borrow("bf16", 2, 1000);
    assert.equal(loan.tensor.address, address);
  }
  assert.equal(arena.peakBytes, peakBytes);
});

test("after the first step the arena is one block, and later steps like it allocate nothing", () => {
  using arena = new Arena();
  const step = () => {
    for (let i = 0; i < 40; i++) arena.tensor("f32", 50_000).zero();
    for (let i = 0; i < 10; i++) {
      using loan = arena.borrow("f32", 20_000);
      loan.tensor.zero();
    }
  };
  const before = liveMemory();
  step();
  assert.ok(liveMemory().buffers > before.buffers + 1, "the first step grows it in several chunks");
  arena.reset();
  assert.equal(liveMemory().buffers, before.buffers + 1);
  const held = arena.heldBytes;
  assert.ok(held >= arena.peakBytes && held < arena.peakBytes * 1.1);
  for (let i = 0; i < 3; i++) {
    step();
    assert.equal(arena.heldBytes, held);
    arena.reset();
  }
  assert.equal(liveMemory().buffers, before.buffers + 1);
});

test("a step that needs more than those before grows it again", () => {
  using arena = new Arena();
  arena.tensor("f32", 1 << 18).zero();
  arena.reset();
  arena.tensor("f32", 1 << 18).zero();
  arena.tensor("f32", 1 << 20).zero();
  arena.reset();
  const held = arena.heldBytes;
  arena.tensor("f32", 1 << 20).zero();
  arena.tensor("f32", 1 << 18).zero();
  assert.equal(arena.heldBytes, held);
});

test("disposing gives everything back; then there are no tensors any more", () => {
  const before = liveMemory();
  const arena = new Arena();
  const tensor = arena.tensor("f32", 1 << 19);
  const loan = arena.borrow("f32", 1 << 19);
  arena[Symbol.dispose]();
  assertDead(tensor, loan.tensor);
  loan[Symbol.dispose]();
  assert.throws(() => arena.tensor("f32", 1), disposed);
  assert.throws(() => arena.borrow("f32", 1), disposed);
  arena[Symbol.dispose]();
  assert.deepEqual(liveMemory(), before);
});

test("a scope's tensors die with it, but for those that are kept: they die with the scope around", () => {
  using arena = new Arena();
  const made = arena.scope(
    () => {
      const inner = arena.scope(
        () => ({
          lost: arena.tensor("f32", 8),
          kept: arena.tensor("f32", 8),
          view: arena.tensor("f32", 4, 2).rows(1, 2),
        }),
        ({ kept, view }) => [kept, view],
      );
      assertDead(inner.lost);
      inner.kept.zero();
      inner.view.zero();
      return inner;
    },
    ({ kept }) => [kept],
  );
  assertDead(made.view);
  made.kept.zero();
  arena.reset();
  assertDead(made.kept);
  assert.throws(() =>
    arena.scope(
      () => {
        throw new Error("stop");
      },
      () => [],
    ),
  );
  arena.tensor("f32", 1).zero();
});

test("what is held outlives its scope, until it is let go as often", () => {
  using arena = new Arena();
  const held = arena.scope(
    () => {
      const tensor = arena.tensor("f32", 8);
      arena.hold([tensor, tensor.rows(2, 3)]);
      return tensor;
    },
    () => [],
  );
  arena.letGo([held]);
  held.zero();
  arena.letGo([held]);
  assertDead(held);
});

test("a planned arena counts what a real one needs, and holds nothing", () => {
  const before = liveMemory();
  const peakOf = (arena: Arena) => {
    const tensor = arena.tensor("f32", 1000);
    tensor.zero();
    tensor.setFloats(new Float32Array(1000));
    {
      using _loan = arena.borrow("bf16", 777);
    }
    arena.integers(Int32Array.of(1, 2));
    return arena.peakBytes;
  };
  using planned = new Arena({ isPlanned: true });
  const expected = peakOf(planned);
  assert.deepEqual(liveMemory(), before);
  using real = new Arena();
  assert.equal(peakOf(real), expected);
  assert.throws(() => planned.tensor("f32", 1).address, /lies nowhere/);
});

test("integers hold what they are given, as a list or in a shape", () => {
  using arena = new Arena();
  assert.deepEqual(arena.integers(Int32Array.of(5, -6)).shape, [2]);
  const table = arena.integers(Int32Array.of(1, 2, 3, 4, 5, 6), 2, 3);
  assert.deepEqual(table.rows(1, 1).toInt32Array(), Int32Array.of(4, 5, 6));
  assert.throws(() => arena.integers(Int32Array.of(1, 2, 3), 2), RangeError);
});

test("whatever is asked for and given back, tensors that live never overlap and lie on 64 bytes", () => {
  const request = fc.record({
    kind: fc.constantFrom("tensor", "borrow", "borrow", "giveBack", "giveBack", "reserve", "reset"),
    dtype: fc.constantFrom<Dtype>("f32", "bf16", "i32"),
    size: fc.integer({ min: 0, max: 3000 }),
    which: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(request, { maxLength: 60 }), (requests) => {
      using arena = new Arena();
      let tensors: Tensor[] = [];
      let loans: ReturnType<Arena["borrow"]>[] = [];
      for (const { kind, dtype, size, which } of requests) {
        if (kind === "tensor") tensors.push(arena.tensor(dtype, size));
        if (kind === "borrow") loans.push(arena.borrow(dtype, size));
        if (kind === "giveBack" && loans.length > 0) loans.splice(which % loans.length, 1)[0]![Symbol.dispose]();
        if (kind === "reset" || kind === "reserve") {
          arena.reset();
          if (kind === "reserve") arena.reserve(size * 10);
          [tensors, loans] = [[], []];
        }
        const living = [...tensors, ...loans.map((loan) => loan.tensor)].sort((a, b) => a.address - b.address);
        for (const [i, tensor] of living.entries()) {
          assert.equal(tensor.address % 64, 0);
          const next = living[i + 1];
          if (next) assert.ok(tensor.address + tensor.byteLength <= next.address, "they overlap");
        }
      }
    }),
    { seed: 2, numRuns: 60 },
  );
});
