import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { wellFormedElements } from "../../test/well-formed.ts";
import { linearTicks, logTicks, shortTick } from "./axis.ts";
import { barsSvg, heatMapSvg } from "./bars.ts";
import { plotSvg } from "./plot.ts";

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

test("linear ticks are round, few, and hold the values between them", () => {
  assert.deepEqual(linearTicks(0.3, 9.2), [0, 2, 4, 6, 8, 10]);
  fc.assert(
    fc.property(
      fc.double({ min: -1e6, max: 1e6, noNaN: true }),
      fc.double({ min: 1e-3, max: 1e6, noNaN: true }),
      (min, span) => {
        const ticks = linearTicks(min, min + span);
        const slack = 1e-9 * (Math.abs(min) + span);
        assert.ok(ticks[0]! <= min + slack && ticks.at(-1)! >= min + span - slack && ticks.length <= 8, ticks.join());
      },
    ),
    { seed: 7 },
  );
});

test("labels are short at every size", () => {
  assert.deepEqual([3.1e24, 5.2e10, 7e12, 2e6, 4096, 0.05, 1e-7, 0].map(shortTick), [
    ...["3.1e24", "52B", "7T", "2M", "4096", "0.05", "1e-7", "0"],
  ]);
});

test("bands, dots, bars and heat maps are well-formed, whatever their words", () => {
  const band = plotSvg({
    ...{ title: "<b>", xLabel: "x", yLabel: "y", xScale: "log", yScale: "linear" },
    series: [
      { name: "a & b", kind: "band", points: [1e17, 1e25].map((x) => ({ x, y: -1, high: 4 })) },
      { name: "dots", kind: "dots", points: [{ x: 1e20, y: 0 }] },
      { name: "curve", kind: "curve", points: [1e17, 1e25].map((x) => ({ x, y: 2 })) },
    ],
  });
  const elements = wellFormedElements(band);
  const count = (name: string) => elements.filter((element) => element === name).length;
  // each has its own sample in the legend, too
  assert.deepEqual([count("polygon"), count("circle"), count("polyline")], [1, 2, 1]);
  const bars = barsSvg({
    title: "memory",
    partNames: ["<one>", "two"],
    bars: [{ name: "a&b", parts: [1, 2], label: "3" }],
    limit: { value: 5, name: "room" },
  });
  const ends = ["1", "9"] as const;
  const heat = heatMapSvg({
    ...{ title: "load", xLabel: "step", yLabel: "expert", xEnds: ends },
    rows: [{ name: "0", cells: [0, 1, null, 9] }],
  });
  for (const svg of [band, bars, heat]) {
    wellFormedElements(svg);
    assert.doesNotMatch(svg, /NaN|Infinity/);
  }
  assert.doesNotMatch(barsSvg({ title: "", partNames: [], bars: [{ name: "", parts: [0], label: "" }] }), /NaN/);
});
