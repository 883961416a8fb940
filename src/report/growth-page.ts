/** How cost grows, for docs/performance.md: a plot and a table an axis, the model that explains it, and what more experts cost. */
import type { ExpertCost } from "../bench/expert-cost.ts";
import type { BenchGrowthResult, GrowthPoint } from "../bench/growth.ts";
import { axisNotes, type GrowthAxis, growthAxes } from "../bench/growth-points.ts";
import type { TrainWork } from "../bench/protocol.ts";
import type { Spread } from "../bench/statistics.ts";
import { replaceSection } from "./page-section.ts";
import { plotSvg } from "./plot.ts";

const marks = ["<!-- growth: written by `rookery bench growth --write` -->", "<!-- growth ends -->"] as const;

/** The page with its section between the markers replaced, or with the section at its end if it has none yet. */
export function replaceGrowthSection(page: string, section: string): string {
  const body = `\n\n${section.trim()}\n\n`;
  return replaceSection(page, marks, body) ?? `${page.trimEnd()}\n\n${marks.join(body)}\n`;
}

/** The names of the axes that have points, in the order of the page. */
function axesOf({ points, skipped }: BenchGrowthResult): GrowthAxis[] {
  return growthAxes.filter((axis) => [...points, ...skipped].some((point) => point.axis === axis));
}

/** A plot an axis, by the name of its file. */
export function growthPlots(result: BenchGrowthResult): { name: string; svg: string }[] {
  return axesOf(result).flatMap((axis) => {
    const points = result.points.filter((point) => point.axis === axis);
    if (points.length === 0) return [];
    const line = (y: (point: GrowthPoint) => number) => points.map((point) => ({ x: point.value, y: y(point) }));
    const svg = plotSvg({
      title: `Training: tokens a second by ${axis}`,
      xLabel: axisNotes[axis].split(/[,;]/)[0]!,
      yLabel: "tokens/s",
      xTicks: points.map((point) => point.value),
      series: [
        { name: "measured", points: line((point) => point.tokensPerSecond.median) },
        { name: "the model", points: line((point) => point.predictedTokensPerSecond), isDashed: true },
      ],
    });
    return [{ name: `growth-${axis}.svg`, svg }];
  });
}

/** The section in Markdown. @param plotFolder where its plots lie, relative to the page. */
export function growthSection(result: BenchGrowthResult, plotFolder: string, rookeryVersion: string): string {
  const rates = result.rates.find((one) => one.threads === result.threads) ?? result.rates[0]!;
  const drawn = new Set(growthPlots(result).map((plot) => plot.name));
  const lines = [
    "## How cost grows",
    "",
    `Rookery ${rookeryVersion}, level \`${result.level}\`, ${result.threads} threads, ${result.computeType}, on ${result.machine}.`,
    "",
    `One size changes, the others stay at ${shapeText(result.base)}.`,
    "",
    "The model knows three rates, each measured in the same run by something that is no training step: a product of 1024³",
    `(${gigaflops(rates.products)}), attention over 2,048 tokens (${gigaflops(rates.attention)}), the read bandwidth`,
    `(${(rates.bytes / 1e9).toFixed(1)} GB/s). A step is its products' FLOPs at the first, attention's at the second,`,
    "and at the third the bytes that every weight moves (gradient, norm, AdamW, packing) and that every activation moves. What it",
    "leaves out is what the caches save, and small products that do not reach the rate of a large one.",
    "",
    ...axesOf(result).flatMap((axis) => [
      ...axisSection(result, axis, drawn.has(`growth-${axis}.svg`) ? `${plotFolder}/growth-${axis}.svg` : undefined),
      ...(axis === "experts" && result.expertCost ? expertLines(result.expertCost) : []),
    ]),
    ...(result.sameBits === null
      ? []
      : [`Same bits on 1 thread, on all, and on all again at every point: ${result.sameBits ? "yes" : "NO"}.`, ""]),
  ];
  return lines.join("\n");
}

function shapeText({
  layers,
  hidden,
  heads,
  keyValueHeads,
  ffn,
  experts,
  vocabulary,
  batch,
  sequenceLength,
}: TrainWork) {
  return `${layers} layers, hidden ${hidden}, ${heads} heads (${keyValueHeads} KV), ${experts} experts of ${ffn} and a shared one, vocabulary ${vocabulary}, ${batch} × ${sequenceLength} tokens`;
}

function gigaflops(flopsPerSecond: number): string {
  return `${(flopsPerSecond / 1e9).toFixed(0)} GFLOP/s`;
}

function milliseconds(seconds: number): string {
  return (1000 * seconds).toFixed(seconds < 0.01 ? 1 : 0);
}

function axisSection(result: BenchGrowthResult, axis: GrowthAxis, plot: string | undefined): string[] {
  const points = result.points.filter((point) => point.axis === axis);
  const skipped = result.skipped.filter((point) => point.axis === axis);
  return [
    `### By ${axis}`,
    "",
    `${axisNotes[axis].charAt(0).toUpperCase()}${axisNotes[axis].slice(1)}.`,
    "",
    ...(plot ? [`![tokens a second by ${axis}](${plot})`, ""] : []),
    `| ${axis} | parameters | tokens a step | tokens/s (least–most) | model | step ms = products + attention + weights + activations | share of peak | memory |`,
    "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ...points.map((point) => {
      const { median, min, max } = point.tokensPerSecond;
      const { products, attention, state, activations } = point.predicted;
      const parts = [products, attention, state, activations].map(milliseconds).join(" + ");
      const cells = [
        String(point.value),
        `${(point.parameters / 1e6).toFixed(1)}M`,
        String(point.tokensPerStep),
        `${median.toFixed(0)} (${min.toFixed(0)}–${max.toFixed(0)})`,
        `${point.predictedTokensPerSecond.toFixed(0)} (${(median / point.predictedTokensPerSecond).toFixed(2)} of it)`,
        `${milliseconds(point.secondsPerStep.median)} against ${parts}`,
        `${(100 * point.shareOfPeak).toFixed(1)}%`,
        point.peakMemoryBytes === null ? "" : `${(point.peakMemoryBytes / 2 ** 20).toFixed(0)} MiB`,
      ];
      return `| ${cells.join(" | ")} |`;
    }),
    "",
    ...skipped.map((point) => `Skipped: ${axis} ${point.value}, ${point.skipped}.`),
    ...(skipped.length > 0 ? [""] : []),
  ];
}

function expertLines(cost: ExpertCost): string[] {
  const percent = (value: number) => `${(100 * value).toFixed(1)}%`;
  const spread = ({ median, min, max }: Spread) => `${median.toFixed(0)} (${min.toFixed(0)}–${max.toFixed(0)})`;
  const { from, to, secondsPerStep, tokensPerSecond, lossBeyondTraffic: loss } = cost;
  return [
    `From ${from} to ${to} experts at the same ${cost.tokensPerStep} tokens a step, in rounds that alternate, a step goes from`,
    `${milliseconds(secondsPerStep.from.median)} to ${milliseconds(secondsPerStep.to.median)} ms, and tokens a second from ${spread(tokensPerSecond.from)} to ${spread(tokensPerSecond.to)}. The larger traffic of`,
    `weights, gradients and moments is ${(cost.moreBytes / 1e9).toFixed(2)} GB a step, which at ${(cost.bytesPerSecond.median / 1e9).toFixed(1)} GB/s takes ${milliseconds(cost.explainedSeconds)} ms and would leave`,
    `${cost.explainedTokensPerSecond.toFixed(0)} tokens/s: **${percent(loss.median)} (${percent(loss.min)} to ${percent(loss.max)}) of those are lost beyond it.**`,
    "",
    `| part of a step, ms | ${from} experts | ${to} experts | difference |`,
    "| --- | --- | --- | --- |",
    ...cost.classes.map(
      (one) => `| ${one.name} | ${[one.from, one.to, one.difference].map(milliseconds).join(" | ")} |`,
    ),
    "",
  ];
}
