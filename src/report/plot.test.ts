import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { wellFormedElements } from "../../test/well-formed.ts";
import { logTicks, plotSvg } from "./plot.ts";

test("a plot is well-formed XML, whatever its words", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 20 }), fc.string({ maxLength: 20 }), (title, name) => {
      const svg = plotSvg({
        title,
        xLabel: "a < b & c",
        yLabel: "tokens/s",
        xTicks: [1, 10],
        series: [
          { name, points: [1, 2, 10].map((x) => ({ x, y: 1000 * x })) },
          { name: "model", points: [{ x: 1, y: 5 }], isDashed: true },
        ],
      });
      const elements = wellFormedElements(svg);
      assert.equal(elements[0], "svg");
      assert.equal(elements.filter((element) => element === "polyline").length, 2);
      assert.equal(elements.filter((element) => element === "circle").length, 3);
      assert.doesNotMatch(svg, /NaN|Infinity/);
    }),
    { seed: 5, numRuns: 50 },
  );
});

test("one point, or equal ones, still make a plot", () => {
  const svg = plotSvg({
    ...{ title: "one", xLabel: "x", yLabel: "y", xTicks: [4] },
    series: [{ name: "a", points: [{ x: 4, y: 7 }] }],
  });
  assert.doesNotMatch(svg, /NaN|Infinity/);
  wellFormedElements(svg);
});

test("ticks are round and hold the values between them", () => {
  assert.deepEqual(logTicks(3, 70), [2, 5, 10, 20, 50, 100]);
  fc.assert(
    fc.property(
      fc.double({ min: 1e-3, max: 1e9, noNaN: true }),
      fc.double({ min: 1, max: 1e4, noNaN: true }),
      (min, times) => {
        const ticks = logTicks(min, min * times);
        assert.ok(ticks[0]! <= min && ticks.at(-1)! >= min * times);
      },
    ),
    { seed: 6 },
  );
});
