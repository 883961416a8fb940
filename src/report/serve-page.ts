/** The load report as a page that stands alone: plots by the number of clients, and every figure in a table. */
import type { BenchServeResult, ServePoint } from "../bench/serve.ts";
import { type Mix, mixes } from "../bench/serve-load.ts";
import { escapeXml, plotSvg } from "./plot.ts";

type Figure = { title: string; yLabel: string; of: (point: ServePoint) => number | null };

const figures: Figure[] = [
  { title: "Tokens a second, all clients together", yLabel: "tokens/s", of: (point) => point.tokensPerSecond.median },
  { title: "Time to first token, p50", yLabel: "ms", of: (point) => 1000 * point.timeToFirstToken.p50 },
  {
    title: "Between two tokens, p50",
    yLabel: "ms",
    of: ({ interTokenLatency }) => interTokenLatency && 1000 * interTokenLatency.p50,
  },
  {
    title: "Between two tokens, p99",
    yLabel: "ms",
    of: ({ interTokenLatency }) => interTokenLatency && 1000 * interTokenLatency.p99,
  },
];

const mixTitles: Record<Mix, string> = {
  separate: "Prompts that have nothing in common",
  "shared-prefix": "Prompts that begin alike",
};

const style = `body{font:15px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(28rem,100%),1fr));gap:1rem}
table{border-collapse:collapse;width:100%;display:block;overflow-x:auto}th,td{padding:.25rem .6rem;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}`;

/** The whole page as HTML. Nothing in it comes from elsewhere. */
export function servePage(result: BenchServeResult, rookeryVersion: string): string {
  const measured = mixes.filter((mix) => result.points.some((point) => point.mix === mix));
  const { promptTokens, outputTokens, sharedTokens, threads, computeType, kvCacheDtype, machine } = result;
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Load report</title><style>${style}</style></head>
<body>
<h1>Load report</h1>
<p>Rookery ${escapeXml(rookeryVersion)}, ${threads} threads, ${escapeXml(computeType)}, cache ${escapeXml(kvCacheDtype)}, on ${escapeXml(machine)}.
Prompts of ${promptTokens} tokens (${sharedTokens} of them shared in the shared mix), answers of ${outputTokens}. Every load was put on ${result.rounds} times, the models taking turns; percentiles are over all requests or tokens of these.</p>
${measured.map((mix) => section(result, mix)).join("\n")}
<h2>Room and reads</h2>
<p>Layers that share keys and values (CLA) save room in the cache, not reads: each layer of a group reads the group's one copy.
A text's last page is seldom full, so its tokens take more than their share; prompts that share pages take less.</p>
</body>
</html>
`;
}

function section(result: BenchServeResult, mix: Mix): string {
  const points = result.points.filter((point) => point.mix === mix);
  return [
    `<h2>${mixTitles[mix]}</h2>`,
    `<div class="plots">`,
    ...figures.map((figure) => plotOf(points, figure)),
    "</div>",
    table(points),
  ].join("\n");
}

function plotOf(points: readonly ServePoint[], { title, yLabel, of }: Figure): string {
  const names = [...new Set(points.map(({ target }) => target))];
  const series = names.map((name) => ({
    name: name.length > 24 ? `${name.slice(0, 23)}…` : name,
    points: points
      .filter(({ target }) => target === name)
      .map((point) => ({ x: point.concurrency, y: of(point) ?? 0 }))
      .filter(({ y }) => y > 0),
  }));
  if (series.every((one) => one.points.length === 0)) return "";
  const xTicks = [...new Set(points.map(({ concurrency }) => concurrency))];
  return plotSvg({ title, xLabel: "clients at once", yLabel, series, xTicks });
}

function table(points: readonly ServePoint[]): string {
  const milliseconds = (seconds: number) => (1000 * seconds).toFixed(seconds < 0.1 ? 1 : 0);
  const or = (value: number | null, show: (value: number) => string) => (value === null ? "–" : show(value));
  const columns: [string, (point: ServePoint) => string][] = [
    ["model", ({ target }) => target],
    ["parameters", ({ parameters }) => or(parameters, (count) => `${(count / 1e6).toFixed(1)}M`)],
    ["clients", ({ concurrency }) => String(concurrency)],
    [
      "tokens/s (least–most)",
      ({ tokensPerSecond: { median, min, max } }) => `${median.toFixed(0)} (${min.toFixed(0)}–${max.toFixed(0)})`,
    ],
    [
      "first token p50 / p95 / p99, ms",
      ({ timeToFirstToken: { p50, p95, p99 } }) => [p50, p95, p99].map(milliseconds).join(" / "),
    ],
    [
      "between tokens p50 / p95 / p99, ms",
      ({ interTokenLatency: gap }) => (gap === null ? "–" : [gap.p50, gap.p95, gap.p99].map(milliseconds).join(" / ")),
    ],
    ["cache bytes a token", ({ cacheBytesPerToken }) => or(cacheBytesPerToken, String)],
    ["in live pages", ({ liveBytesPerToken }) => or(liveBytesPerToken, (bytes) => bytes.toFixed(0))],
    [
      "cache read a step, MiB",
      ({ cacheBytesReadPerStep }) => or(cacheBytesReadPerStep, (bytes) => (bytes / 2 ** 20).toFixed(1)),
    ],
    ["prompt tokens from cache", ({ cachedPromptTokens }) => or(cachedPromptTokens, String)],
    ["preemptions", ({ preemptions }) => or(preemptions, String)],
    ["cost of 1M tokens", ({ costPerMillionTokens }) => or(costPerMillionTokens, (cost) => cost.toFixed(3))],
  ];
  const row = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeXml(cell)}</${tag}>`).join("")}</tr>`;
  const names = columns.map(([name]) => name);
  const rows = points.map((point) =>
    row(
      columns.map(([, show]) => show(point)),
      "td",
    ),
  );
  return `<table><thead>${row(names, "th")}</thead><tbody>${rows.join("")}</tbody></table>`;
}
