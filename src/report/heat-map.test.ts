import assert from "node:assert/strict";
import { test } from "node:test";
import type { GridRun } from "../eval/ruler/run-grid.ts";
import { summarizeRuler } from "../eval/ruler/score.ts";
import { scoreMapSvg } from "./heat-map.ts";
import { lengthText, needlePage, rulerPage } from "./long-context-page.ts";

test("a map has a cell with its score for each that there is, and shows 0 and 100 in other colors", () => {
  const svg = scoreMapSvg({
    title: "a <map>",
    xLabel: "x",
    yLabel: "y",
    columns: ["1K", "2K"],
    rows: [
      { name: "0%", scores: [0, 100] },
      { name: "100%", scores: [null, 73.4] },
    ],
  });
  assert.match(svg, /a &lt;map&gt;/);
  assert.match(svg, />73<\/text>/);
  // three cells, and five of the key
  assert.equal(svg.match(/fill-opacity/g)?.length, 8);
  assert.equal(svg.match(/#c2473f" fill-opacity="0.750/g)?.length, 2);
  assert.equal(svg.match(/#1f6feb" fill-opacity="0.750/g)?.length, 2);
  assert.deepEqual([512, 1024, 3277, 262_144].map(lengthText), ["512", "1K", "3277", "256K"]);
});

const cell = { length: 2048, depth: 1, sample: 0, promptTokens: 1, cachedTokens: null, seconds: 1 };
const grid: GridRun = {
  ...{
    kind: "single",
    language: "zh",
    depths: [0, 1],
    mean: 75,
    effectiveLength: 1024,
    weakerBelow: [],
    threshold: 85.6,
  },
  rows: [
    { length: 1024, scores: [100, 100], mean: 100 },
    { length: 2048, scores: [100, 0], mean: 50 },
  ],
  ...{ promptTokens: 6000, cachedShare: 0.5, seconds: 60, left: [] },
  missed: [{ ...cell, answers: ["1234567"], said: "<script>7654321</script>", score: 0 }],
};

test("pages say what was found, and keep what models said from being more than text", () => {
  const page = needlePage({ ...grid, model: "m" }, "0.0.0");
  assert.match(page, /1K tokens/);
  assert.ok(!page.includes("<script>7654321"));
  const summaries = summarizeRuler([
    { task: "vt", language: "en", length: 1024, score: 1 },
    { task: "vt", language: "en", length: 2048, score: 0.5 },
  ]);
  const ruler = rulerPage({ summaries, left: [], model: "m", threshold: 85.6 }, "0.0.0");
  assert.match(ruler, /<td>vt<\/td><td>100.0<\/td><td>50.0<\/td>/);
  assert.match(ruler, /effective length \(mean above 85.6\)<\/td><td>1K tokens/);
});
