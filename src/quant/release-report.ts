/** What a quantized release is worth beside the model that it was made of, in numbers and for its model card. */
import type { MatrixError } from "./quantize.ts";

export type LayerError = { layer: number; relative: number };

/** A model as it was measured; null for what was not. */
export type Measured = {
  fileBytes: number;
  bitsPerByte: number | null;
  decodeTokensPerSecond: number | null;
};

/** How far greedy continuations of the same prompts stay the same. */
export type Agreement = {
  prompts: number;
  tokensEach: number;
  /** Continuations that are the same to the last token. */
  identical: number;
  /** Mean share of a continuation before the first token that differs. */
  meanSharedPrefix: number;
};

export type ReleaseReport = {
  scheme: string;
  groupSize: number | null;
  activations: string;
  /** How weights were rounded: "nearest" or "gptq". */
  rounding: string;
  calibrationTokens: number;
  before: Measured;
  after: Measured;
  agreement: Agreement | null;
  /** Of weights: ‖W − Ŵ‖ / ‖W‖, all matrices of a layer together. */
  layers: LayerError[];
  worst: { name: string; relative: number }[];
};

/** Errors by layer, and the worst matrices first. */
export function summarizeErrors(
  errors: readonly MatrixError[],
  worstCount = 5,
): Pick<ReleaseReport, "layers" | "worst"> {
  const sums = new Map<number, { error: number; norm: number }>();
  for (const { name, error, norm } of errors) {
    const layer = Number(/\.layers\.(\d+)\./.exec(name)?.[1] ?? -1);
    const sum = sums.get(layer) ?? { error: 0, norm: 0 };
    sums.set(layer, { error: sum.error + error, norm: sum.norm + norm });
  }
  const layers = [...sums].map(([layer, { error, norm }]) => ({
    layer,
    relative: norm === 0 ? 0 : Math.sqrt(error / norm),
  }));
  const worst = [...errors].sort((a, b) => b.relative - a.relative).slice(0, worstCount);
  return { layers, worst: worst.map(({ name, relative }) => ({ name, relative })) };
}

const percent = (share: number, digits = 2) => `${(100 * share).toFixed(digits)}%`;

/** The rows of a table: what was measured, before, after, and their relation. */
export function reportRows({ before, after, agreement }: ReleaseReport): [string, string, string, string][] {
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const rows: [string, string, string, string][] = [
    [
      "weights",
      megabytes(before.fileBytes),
      megabytes(after.fileBytes),
      percent(after.fileBytes / before.fileBytes, 1),
    ],
  ];
  if (before.bitsPerByte !== null && after.bitsPerByte !== null) {
    const change = after.bitsPerByte / before.bitsPerByte - 1;
    const sign = change < 0 ? "−" : "+";
    rows.push([
      "bits per byte of held-out text",
      before.bitsPerByte.toFixed(4),
      after.bitsPerByte.toFixed(4),
      `${sign}${percent(Math.abs(change))}`,
    ]);
  }
  if (before.decodeTokensPerSecond !== null && after.decodeTokensPerSecond !== null) {
    const ratio = after.decodeTokensPerSecond / before.decodeTokensPerSecond;
    const rates = [before, after].map(({ decodeTokensPerSecond }) => decodeTokensPerSecond!.toFixed(1)) as [
      string,
      string,
    ];
    rows.push(["tokens/s of one stream", ...rates, `${ratio.toFixed(2)}×`]);
  }
  if (agreement) {
    const { identical, prompts, tokensEach, meanSharedPrefix } = agreement;
    rows.push([
      `greedy continuations of ${tokensEach} tokens`,
      "",
      `${identical} of ${prompts} identical`,
      percent(meanSharedPrefix, 0),
    ]);
  }
  return rows;
}

/** A sentence on how the weights are stored. */
export function describeScheme({ scheme, groupSize, activations, rounding, calibrationTokens }: ReleaseReport): string {
  const calibrated = calibrationTokens > 0 ? `, calibrated on ${calibrationTokens} tokens` : "";
  if (scheme === "fp8") {
    const inputs = activations === "dynamic" ? "a scale for every token" : "a scale known beforehand";
    return `FP8 E4M3 weights with a scale a row, met by activations rounded to FP8 with ${inputs}${calibrated}`;
  }
  if (scheme === "int8") return "INT8 weights with a scale a row; activations as they are";
  const how = rounding === "gptq" ? "rounded by GPTQ" : "rounded to the nearest";
  return `INT4 weights with a scale for every ${groupSize} of a row, ${how}${calibrated}; activations as they are`;
}

/** The model card of the release: a section of its own before the text of the original's. */
export function releaseCard(report: ReleaseReport, original: string, sourceName: string): string {
  const [, frontMatter = "", body = ""] = /^(---\n[\s\S]*?\n---\n)?([\s\S]*)$/.exec(original) ?? [];
  const layers = report.layers.map(({ layer, relative }) => `| ${layer} | ${percent(relative)} |`);
  const worst = report.worst.map(({ name, relative }) => `| \`${name}\` | ${percent(relative)} |`);
  return `${frontMatter}
# Quantized: ${report.scheme.toUpperCase()}

${describeScheme(report)}. Router, norms, embedding and head are as in ${sourceName}, of which this is made.

| | before | after | |
| --- | --- | --- | --- |
${reportRows(report)
  .map((row) => `| ${row.join(" | ")} |`)
  .join("\n")}

The last column of continuations is the mean share before the first token that differs. Errors are of weights, ‖W − Ŵ‖ / ‖W‖.

| layer | error |
| --- | --- |
${layers.join("\n")}

| worst matrices | error |
| --- | --- |
${worst.join("\n")}

${body.trim()}
`;
}
