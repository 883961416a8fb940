import assert from "node:assert/strict";
import { test } from "node:test";
import { experiments } from "../bench/kernels/experiments/index.ts";
import { compare, describeRows, type Experiment } from "../bench/kernels/lab.ts";
import { liveMemory } from "../src/kernels/bindings/memory.ts";

test("a version that is wrong is named before anything is timed", () => {
  const runs = { right: 0, wrong: 0 };
  const version = (name: keyof typeof runs, error: number) => ({
    name,
    run: () => void runs[name]++,
    error: () => error,
  });
  const experiment: Experiment = {
    work: { amount: 1, unit: "byte" },
    allowedError: 0.1,
    versions: [version("right", 0), version("wrong", Number.NaN)],
    [Symbol.dispose]() {},
  };
  assert.throws(() => compare(experiment, 5), /^Error: wrong is wrong by NaN, 0.1 is allowed$/);
  assert.deepEqual(runs, { right: 1, wrong: 1 });
});

for (const [name, open] of Object.entries(experiments)) {
  test(`every version of ${name} is right, and has a rate`, () => {
    const before = liveMemory();
    {
      using experiment = open();
      const rows = compare(experiment, 2);
      assert.equal(rows.length, experiment.versions.length);
      for (const { rate, timesFirst } of rows) {
        assert.ok(rate.min > 0 && rate.max < Number.POSITIVE_INFINITY);
        assert.ok(timesFirst.min > 0);
      }
      assert.deepEqual(rows[0]!.timesFirst, { median: 1, min: 1, max: 1 });
      assert.equal(describeRows(rows, experiment.work).length, rows.length);
    }
    assert.deepEqual(liveMemory(), before);
  });
}
