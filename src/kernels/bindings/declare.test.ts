import assert from "node:assert/strict";
import { test } from "node:test";
import { fromMemory, toMemory } from "../../../test/twins/support.ts";
import { RookeryError } from "../../base/errors.ts";
import { byteCount, kernel, timeKernels } from "./declare.ts";
import { axpy, sumOfSquaresScratchBytes } from "./optim.ts";

const wrong: Record<"size" | "int" | "float", unknown[]> = {
  size: [Number.NaN, -1, 0.5, 2 ** 53, Number.POSITIVE_INFINITY, "3", null, undefined, 3n],
  int: [Number.NaN, 0.5, 2 ** 31, -(2 ** 31) - 1, Number.POSITIVE_INFINITY, "3", null, undefined, 3n],
  float: [Number.NaN, "3", null, undefined, 3n],
};
const places = { size: "count", int: "accumulate", float: "scale" } as const;

test("arguments of the wrong kind never reach C, and are named", () => {
  using source = toMemory([1, 2]);
  using destination = toMemory([10, 20]);
  const call = {
    pool: null,
    sourceDtype: 0,
    source,
    destinationDtype: 0,
    destination,
    count: 2,
    scale: 1,
    accumulate: 0,
  };
  for (const kind of ["size", "int", "float"] as const) {
    for (const value of wrong[kind]) {
      assert.throws(
        () => axpy({ ...call, [places[kind]]: value } as typeof call),
        (error) => {
          assert.ok(error instanceof RookeryError, String(error));
          assert.equal(error.code, "KERNEL_FAILED");
          assert.equal(error.message, `rookery_axpy: ${places[kind]} = ${String(value)} is no ${kind}`);
          return true;
        },
      );
    }
  }
  assert.deepEqual([...fromMemory(destination, 2)], [10, 20]);
});

test("a place in memory is an address or null, and nothing else", () => {
  using memory = toMemory([1]);
  const call = {
    pool: null,
    sourceDtype: 0,
    destinationDtype: 0,
    destination: memory,
    count: 1,
    scale: 1,
    accumulate: 0,
  };
  for (const address of [0, -8, 0.5, Number.NaN, 2 ** 60, "1", undefined]) {
    assert.throws(() => axpy({ ...call, source: { address } as { address: number } }), { code: "KERNEL_FAILED" });
  }
  for (const source of [undefined, 64, "x", {}]) {
    assert.throws(() => axpy({ ...call, source: source as unknown as null }), { code: "KERNEL_FAILED" });
  }
});

test("memory that was given back is refused", () => {
  using destination = toMemory([1]);
  const source = toMemory([2]);
  source[Symbol.dispose]();
  const call = { pool: null, sourceDtype: 0, destinationDtype: 0, destination, count: 1, scale: 1, accumulate: 0 };
  assert.throws(() => axpy({ ...call, source }), { code: "DISPOSED" });
  assert.deepEqual([...fromMemory(destination, 1)], [1]);
});

test("a float may be infinite, and an int as large as it gets", () => {
  using source = toMemory([1]);
  using destination = toMemory([0]);
  const call = { pool: null, sourceDtype: 0, source, destinationDtype: 0, destination, count: 1 };
  axpy({ ...call, scale: Number.NEGATIVE_INFINITY, accumulate: -(2 ** 31) });
  assert.deepEqual([...fromMemory(destination, 1)], [Number.NEGATIVE_INFINITY]);
});

test("a refusal tells the numbers of the call in one line", () => {
  const call = { pool: null, sourceDtype: 7, source: null, destinationDtype: 0, destination: null, count: 3 };
  assert.throws(() => axpy({ ...call, scale: 1, accumulate: 0 }), {
    code: "KERNEL_FAILED",
    message: "rookery_axpy refused a bad argument: sourceDtype=7 destinationDtype=0 count=3 scale=1 accumulate=0",
  });
});

test("numbers of bytes come back whole, past 32 bits", () => {
  assert.equal(sumOfSquaresScratchBytes({ count: 0 }), 0);
  const blocks = 2 ** 31 - 1;
  assert.equal(sumOfSquaresScratchBytes({ count: blocks * 16_384 }), blocks * 4);
});

test("a function that the library lacks is an error with its name, when it is called", () => {
  const absentKernel = kernel("rookery_absent", { pool: "memory" });
  const absentBytes = byteCount("rookery_absent_bytes", {});
  assert.throws(() => absentKernel({ pool: null }), /rookery_absent/);
  assert.throws(() => absentBytes({}), /rookery_absent_bytes/);
});

test("who listens hears of every kernel that runs, and of none afterwards", () => {
  using source = toMemory([1, 2]);
  using destination = toMemory([10, 20]);
  const types = { sourceDtype: 0, destinationDtype: 0 };
  const add = () => axpy({ pool: null, ...types, source, destination, count: 2, scale: 1, accumulate: 1 });
  const heard: string[] = [];
  timeKernels((kernel, milliseconds) => {
    assert.ok(milliseconds >= 0);
    heard.push(kernel);
  });
  try {
    add();
    sumOfSquaresScratchBytes({ count: 2 }); // a question about sizes is no kernel
    add();
  } finally {
    timeKernels(undefined);
  }
  add();
  assert.deepEqual(heard, ["rookery_axpy", "rookery_axpy"]);
  assert.deepEqual([...fromMemory(destination, 2)], [13, 26]);
});
