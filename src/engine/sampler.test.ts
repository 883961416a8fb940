import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { RookeryError } from "../base/errors.ts";
import { streamKeys } from "../base/random.ts";
import { candidatesOf, penalizeRepetition, sampleToken } from "./sampler.ts";
import type { SamplingSettings } from "./sampling-settings.ts";

const keys = streamKeys(1, "test");
const parameters = { seed: 20241104, numRuns: 300 };

/** Logits of which many are equal and some are masked, at least one of them not. */
const logitsArbitrary = fc
  .array(fc.oneof(fc.constantFrom(-1, 0, 2, Number.NEGATIVE_INFINITY), fc.float({ min: -30, max: 30, noNaN: true })), {
    minLength: 1,
    maxLength: 60,
  })
  .filter((values) => values.some(Number.isFinite))
  .map((values) => Float32Array.from(values));

const temperatureArbitrary = fc.double({ min: 0.05, max: 5, noNaN: true });

/** Ids by falling logit, the smaller id first, and their probabilities: the plain way, all sorted. */
function sorted(logits: Float32Array, temperature: number): { id: number; probability: number }[] {
  const largest = Math.max(...logits);
  const weights = Array.from(logits, (logit) => Math.exp((logit - largest) / temperature));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return Array.from(logits.keys())
    .sort((a, b) => logits[b]! - logits[a]! || a - b)
    .map((id) => ({ id, probability: weights[id]! / total }));
}

function near(actual: number, expected: number, tolerance = 1e-9): boolean {
  return Math.abs(actual - expected) <= tolerance;
}

describe("candidates", () => {
  it("are the softmax of all tokens when nothing limits them", () => {
    fc.assert(
      fc.property(logitsArbitrary, temperatureArbitrary, (logits, temperature) => {
        const { ids, probabilities } = candidatesOf(logits, { temperature });
        const expected = sorted(logits, temperature);
        for (const { id, probability } of expected) {
          const at = ids.indexOf(id);
          assert.equal(at === -1, logits[id] === Number.NEGATIVE_INFINITY);
          if (at !== -1) assert.ok(near(probabilities[at]!, probability));
        }
      }),
      parameters,
    );
  });

  it("are the k likeliest under top-k, the smaller id of equals", () => {
    fc.assert(
      fc.property(logitsArbitrary, fc.integer({ min: 1, max: 70 }), (logits, topK) => {
        const expected = sorted(logits, 1)
          .slice(0, topK)
          .map(({ id }) => id)
          .filter((id) => logits[id] !== Number.NEGATIVE_INFINITY);
        assert.deepEqual(
          Array.from(candidatesOf(logits, { temperature: 1, topK }).ids),
          expected.sort((a, b) => a - b),
        );
      }),
      parameters,
    );
  });

  it("are the smallest set of the likeliest that reaches top-p", () => {
    fc.assert(
      fc.property(
        logitsArbitrary,
        temperatureArbitrary,
        fc.double({ min: 0.01, max: 0.999, noNaN: true }),
        (logits, temperature, topP) => {
          const { ids, probabilities } = candidatesOf(logits, { temperature, topP });
          const all = sorted(logits, temperature);
          assert.deepEqual(
            Array.from(ids),
            all.slice(0, ids.length).map(({ id }) => id),
          );
          const before = all.slice(0, ids.length - 1).reduce((sum, { probability }) => sum + probability, 0);
          const reached = before + all[ids.length - 1]!.probability;
          assert.ok(before < topP + 1e-9 && reached > topP - 1e-9, `${before} ${topP} ${reached}`);
          assert.ok(near(probabilities[0]!, all[0]!.probability / reached, 1e-6));
        },
      ),
      parameters,
    );
  });

  it("are limited by top-k before top-p, and by min-p after both; they sum to 1 and hold the likeliest", () => {
    const settings = fc.record({
      temperature: temperatureArbitrary,
      topK: fc.integer({ min: 1, max: 70 }),
      topP: fc.double({ min: 0.01, max: 1, noNaN: true }),
      minP: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(logitsArbitrary, settings, (logits, all) => {
        const { ids, probabilities } = candidatesOf(logits, all);
        assert.ok(
          near(
            probabilities.reduce((sum, probability) => sum + probability, 0),
            1,
          ),
        );
        assert.ok(ids.includes(logits.indexOf(Math.max(...logits))));
        assert.ok(ids.length <= all.topK);
        const largest = Math.max(...probabilities);
        for (const probability of probabilities) assert.ok(probability >= all.minP * largest - 1e-12);
        const withoutMinP = candidatesOf(logits, { ...all, minP: 0 });
        assert.ok(ids.every((id) => withoutMinP.ids.includes(id)));
      }),
      parameters,
    );
    // Of 0.4, 0.3, 0.2, 0.1 top-k 2 leaves 4/7 and 3/7: the first alone reaches 0.5 of that, but not of the whole.
    const logits = Float32Array.from([0.4, 0.3, 0.2, 0.1], Math.log);
    assert.deepEqual(Array.from(candidatesOf(logits, { temperature: 1, topK: 2, topP: 0.5 }).ids), [0]);
    assert.deepEqual(Array.from(candidatesOf(logits, { temperature: 1, topP: 0.5 }).ids), [0, 1]);
    assert.deepEqual(Array.from(candidatesOf(logits, { temperature: 1, minP: 0.45 }).ids), [0, 1, 2]);
  });
});

describe("a token", () => {
  it("is the likeliest at temperature 0 and near it, the first of equals", () => {
    fc.assert(
      fc.property(logitsArbitrary, (logits) => {
        const likeliest = logits.indexOf(Math.max(...logits));
        assert.equal(sampleToken(logits, { temperature: 0 }, keys, 0), likeliest);
        assert.equal(sampleToken(logits, { temperature: 1e-320, topK: 1 }, keys, 3), likeliest);
      }),
      parameters,
    );
  });

  it("is always one of the candidates, and the same for the same seed and place", () => {
    fc.assert(
      fc.property(logitsArbitrary, fc.nat(1e6), fc.nat(1e4), (logits, seed, index) => {
        const settings: SamplingSettings = { temperature: 1.3, topK: 7, topP: 0.8 };
        const token = sampleToken(logits, settings, streamKeys(seed), index);
        assert.ok(candidatesOf(logits, settings).ids.includes(token));
        assert.equal(sampleToken(logits.slice(), settings, streamKeys(seed), index), token);
      }),
      parameters,
    );
  });

  it("comes as often as its probability says", () => {
    const logits = Float32Array.from({ length: 12 }, (_, id) => Math.sin(id * 5) * 2);
    for (const settings of [{ temperature: 0.8 }, { temperature: 1.5, topK: 6, topP: 0.9, minP: 0.05 }]) {
      const { ids, probabilities } = candidatesOf(logits, settings);
      const draws = 20_000;
      const counts = new Map<number, number>();
      for (let index = 0; index < draws; index++) {
        const token = sampleToken(logits, settings, keys, index);
        counts.set(token, (counts.get(token) ?? 0) + 1);
      }
      let chiSquare = 0;
      for (const [at, id] of ids.entries()) {
        const expected = draws * probabilities[at]!;
        chiSquare += ((counts.get(id) ?? 0) - expected) ** 2 / expected;
      }
      // Of 11 degrees of freedom 99.9% of all seeds stay below 31.3, of fewer below less.
      assert.ok(chiSquare < 31.3, `χ² ${chiSquare}`);
    }
  });

  it("comes from the whole vocabulary: the least likely of 100,000 equals are drawn too", () => {
    const logits = new Float32Array(100_000);
    const tokens = Array.from({ length: 50 }, (_, index) => sampleToken(logits, { temperature: 1 }, keys, index));
    assert.ok(Math.min(...tokens) < 10_000 && Math.max(...tokens) > 90_000);
  });

  it("is refused when the logits are no numbers to draw from", () => {
    for (const [values, message] of [
      [[0, Number.NaN], /NaN/],
      [[0, Number.POSITIVE_INFINITY], /infinite/],
      [[Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY], /−∞/],
      [[], /−∞/],
    ] as const) {
      for (const temperature of [0, 1]) {
        assert.throws(
          () => sampleToken(Float32Array.from(values), { temperature }, keys, 0),
          (error) => error instanceof RookeryError && error.code === "NON_FINITE" && message.test(error.message),
        );
      }
    }
  });
});

it("a repetition penalty divides what is likely and multiplies what is not, only of the tokens named", () => {
  const logits = Float32Array.of(3, -3, 3, -3, 0);
  penalizeRepetition(logits, new Set([0, 1, 4, 77]), 1.5);
  assert.deepEqual(Array.from(logits), [2, -4.5, 3, -3, 0]);
});
