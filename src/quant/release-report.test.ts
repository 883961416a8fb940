import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ReleaseReport, releaseCard, reportRows, summarizeErrors } from "./release-report.ts";

const errors = [
  { name: "model.layers.0.self_attn.q_proj.weight", relative: 0.1, error: 1, norm: 100 },
  { name: "model.layers.1.self_attn.q_proj.weight", relative: 0.5, error: 25, norm: 100 },
  { name: "model.layers.1.self_attn.o_proj.weight", relative: 0.1, error: 3, norm: 300 },
];

const report: ReleaseReport = {
  scheme: "int4",
  groupSize: 64,
  activations: "none",
  rounding: "gptq",
  calibrationTokens: 512,
  before: { fileBytes: 1000, bitsPerByte: 2, decodeTokensPerSecond: 10 },
  after: { fileBytes: 280, bitsPerByte: 2.02, decodeTokensPerSecond: 25 },
  agreement: { prompts: 8, tokensEach: 64, identical: 6, meanSharedPrefix: 0.82 },
  ...summarizeErrors(errors),
};

describe("the report of a release", () => {
  it("sums errors by layer, and names the worst matrices first", () => {
    const { layers, worst } = summarizeErrors(errors, 2);
    assert.deepEqual(layers, [
      { layer: 0, relative: 0.1 },
      { layer: 1, relative: Math.sqrt(28 / 400) },
    ]);
    assert.deepEqual(
      worst.map(({ name }) => name),
      [errors[1]!.name, errors[0]!.name],
    );
  });

  it("says what changed by how much, and nothing of what was not measured", () => {
    const rows = reportRows(report);
    assert.deepEqual(
      rows.map((row) => row[3]),
      ["28.0%", "+1.00%", "2.50×", "82%"],
    );
    const unmeasured = { fileBytes: 10, bitsPerByte: null, decodeTokensPerSecond: null };
    assert.equal(reportRows({ ...report, before: unmeasured, after: unmeasured, agreement: null }).length, 1);
  });

  it("stands in the model card under its front matter, before what the original said", () => {
    const card = releaseCard(report, "---\ntags: [a]\n---\n\n# Original\n", "nano");
    assert.match(card, /^---\ntags: \[a\]\n---\n\n# Quantized: INT4\n\nINT4 .* every 64 of a row, rounded by GPTQ/);
    assert.ok(card.indexOf("# Quantized") < card.indexOf("# Original"));
  });
});
