import assert from "node:assert/strict";
import { test } from "node:test";
import { roundToBf16 } from "../../test/twins/support.ts";
import { rotaryFrequencies, rotaryTable } from "./rotary.ts";

const scaled = { ropeTheta: 10_000, ropeScaling: { type: "dynamic", alpha: 1000, factor: 1 } } as const;

test("frequencies with NTK alpha are those of the official code", () => {
  const official: [headDim: number, pair: number, frequency: number][] = [
    [80, 1, 0.665391001],
    [80, 39, 1.25892541e-7],
    [128, 1, 0.776034363],
    [128, 63, 1.15478198e-7],
  ];
  for (const [headDim, pair, frequency] of official) {
    const frequencies = rotaryFrequencies({ headDim, ...scaled });
    assert.equal(frequencies.length, headDim / 2);
    assert.equal(frequencies[0], 1);
    assert.ok(Math.abs(frequencies[pair]! / frequency - 1) < 1e-7, `pair ${pair} of ${headDim}: ${frequencies[pair]}`);
  }
});

test("without scaling the frequencies are rounded to bf16, with alpha 1 they are not", () => {
  const plain = Float64Array.from({ length: 32 }, (_, pair) => 10_000 ** ((-2 * pair) / 64));
  const rounded = rotaryFrequencies({ headDim: 64, ropeTheta: 10_000, ropeScaling: null });
  const exact = rotaryFrequencies({ headDim: 64, ropeTheta: 10_000, ropeScaling: { ...scaled.ropeScaling, alpha: 1 } });
  assert.deepEqual(rounded, Float32Array.from(plain, roundToBf16));
  assert.deepEqual(exact, Float32Array.from(plain));
  assert.notDeepEqual(rounded, exact);
});

test("the factor changes nothing", () => {
  const other = { ...scaled.ropeScaling, factor: 8 };
  assert.deepEqual(
    rotaryFrequencies({ headDim: 8, ropeTheta: 1e4, ropeScaling: other }),
    rotaryFrequencies({ headDim: 8, ...scaled }),
  );
});

test("the table holds cosine and sine of position times frequency, in f32", () => {
  const config = { headDim: 80, ...scaled };
  const frequencies = rotaryFrequencies(config);
  const { cosine, sine } = rotaryTable(config, 4097);
  assert.equal(cosine.length, 4097 * 40);
  for (const position of [0, 1, 17, 4096]) {
    for (const pair of [0, 1, 20, 39]) {
      const angle = Math.fround(position * frequencies[pair]!);
      assert.equal(cosine[position * 40 + pair], Math.fround(Math.cos(angle)));
      assert.equal(sine[position * 40 + pair], Math.fround(Math.sin(angle)));
    }
  }
});

test("a score depends on the distance of two positions only", () => {
  const config = { headDim: 8, ropeTheta: 10_000, ropeScaling: { ...scaled.ropeScaling, alpha: 1 } };
  const { cosine, sine } = rotaryTable(config, 200);
  const score = (query: number, key: number) => {
    let sum = 0;
    for (let pair = 0; pair < 4; pair++) {
      // two unit vectors, turned: their product is the cosine of the difference of their angles
      const [q, k] = [query * 4 + pair, key * 4 + pair];
      sum += cosine[q]! * cosine[k]! + sine[q]! * sine[k]!;
    }
    return sum;
  };
  for (const distance of [0, 1, 7, 60]) {
    for (const key of [1, 50, 130]) assert.ok(Math.abs(score(key + distance, key) - score(distance, 0)) < 1e-4);
  }
});
