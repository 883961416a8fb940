import assert from "node:assert/strict";
import { test } from "node:test";
import { tinyConfig } from "../../test/twins/tiny.ts";
import { streamKeys } from "../base/random.ts";
import { fillNormal, initialDeviation } from "./initialize.ts";
import { describeParameters } from "./parameters.ts";

function filled(count: number, deviation: number, seed: number): Float32Array {
  const values = new Float32Array(count).fill(Number.NaN);
  fillNormal(values, deviation, streamKeys(seed, "test"));
  return values;
}

test("values are normal: mean 0, the deviation asked for, no skew, three sigmas as often as they should be", () => {
  const count = 100_000;
  const values = filled(count, 0.02, 1);
  const moment = (power: number) => values.reduce((sum, value) => sum + (value / 0.02) ** power, 0) / count;
  assert.ok(Math.abs(moment(1)) < 0.02);
  assert.ok(Math.abs(moment(2) - 1) < 0.02);
  assert.ok(Math.abs(moment(3)) < 0.05);
  assert.ok(Math.abs(moment(4) - 3) < 0.1);
  const far = values.filter((value) => Math.abs(value) > 0.06).length / count;
  assert.ok(far > 0.002 && far < 0.0035, `${far} beyond three sigmas`);
});

test("the same stream gives the same values, another one others; an odd length is filled to its end", () => {
  assert.deepEqual(filled(101, 1, 5), filled(101, 1, 5));
  assert.notDeepEqual(filled(101, 1, 5), filled(101, 1, 6));
  assert.ok(filled(101, 1, 5).every(Number.isFinite));
  assert.deepEqual(filled(101, 1, 5).subarray(0, 100), filled(100, 1, 5));
});

test("scaled weights start every layer as the identity, official ones have one deviation", () => {
  for (const description of describeParameters({ ...tinyConfig, tieWordEmbeddings: false })) {
    if (description.role === "norm") continue;
    assert.equal(initialDeviation(description, 0.02, "official"), 0.02);
    const expected = /o_proj|down_proj/.test(description.name)
      ? 0
      : /embed_tokens|lm_head/.test(description.name)
        ? 0.02
        : 1 / Math.sqrt(description.shape.at(-1)!);
    assert.equal(initialDeviation(description, 0.02, "scaled"), expected, description.name);
  }
});
