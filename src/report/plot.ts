/**
 * A plot of lines, dots and bands over two axes, as an SVG. As a picture of its own it is light or dark as its reader's
 * screen is; on a page of ours the classes ink, grid, axis and paper follow the page (page.ts).
 */
import { type AxisScale, placeOn, shortTick, ticksFor } from "./axis.ts";

export type PlotPoint = { x: number; y: number; high?: number };

/** line: with a dot at each point unless it is dashed; curve: without; dots: nothing else; band: from y up to `high`. */
export type Series = {
  name: string;
  points: readonly PlotPoint[];
  isDashed?: boolean;
  kind?: "line" | "curve" | "dots" | "band";
};

export type Plot = {
  title: string;
  xLabel: string;
  yLabel: string;
  series: readonly Series[];
  /** Values of x that are marked; by default round ones. */
  xTicks?: readonly number[];
  /** By default both are logarithmic. */
  xScale?: AxisScale;
  yScale?: AxisScale;
};

const size = { width: 560, height: 340, left: 72, right: 16, top: 36, bottom: 84 };
const legendWidth = 180;
const legendsPerRow = 2;
const legendRowHeight = 18;
const colors = ["#1f6feb", "#a0762a", "#2f8f4e", "#c2473f", "#8250df", "#1b8a8a", "#bf5a9d", "#6e7781"];
export const seriesColor = (index: number): string => colors[index % colors.length]!;
const font = 'font-family="system-ui, sans-serif" font-size="12" class="ink" fill="#222"';

export function escapeXml(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

export function svgText(x: number, y: number, words: string, anchor = "middle", more = ""): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" ${font}${more}>${escapeXml(words)}</text>`;
}

/** What ours look like where a reader wants it dark. */
export const darkColors = { ink: "#e6e6e6", paper: "#16191d", grid: "#32383f", axis: "#8b949e", soft: "#9aa4ae" };

// `svg:root` is a picture of its own: within a page of ours the page says how it looks, on paper too
const darkStyle = `<style>@media(prefers-color-scheme:dark){${[
  ...(["ink", "paper"] as const).map((name) => `svg:root .${name}{fill:${darkColors[name]}}`),
  ...(["grid", "axis"] as const).map((name) => `svg:root .${name}{stroke:${darkColors[name]}}`),
].join("")}}</style>`;

/** The frame of a picture: its title, and a ground that follows the page. */
export function svgFrame(title: string, width: number, height: number, lines: readonly string[]): string {
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeXml(title)}">`,
    darkStyle,
    `<rect class="paper" width="${width}" height="${height}" fill="#fff"/>`,
    svgText(width / 2, 20, title, "middle", ' font-weight="600"'),
    ...lines,
    "</svg>",
  ].join("\n")}\n`;
}

/** Draws it. On a logarithmic axis values must be positive, and there must be one point at least. */
export function plotSvg({ title, xLabel, yLabel, series, xTicks, xScale = "log", yScale = "log" }: Plot): string {
  const points = series.flatMap((one) => one.points);
  const yTicks = ticksFor(
    yScale,
    points.flatMap(({ y, high }) => (high === undefined ? [y] : [y, high])),
  );
  const mostX = Math.max(...points.map(({ x }) => x));
  const round = ticksFor(
    xScale,
    points.map(({ x }) => x),
  );
  // curves end where they end: up to the next round value there would be nothing
  const marked = xTicks ?? (xScale === "linear" ? round.filter((tick, index) => index === 0 || tick <= mostX) : round);
  const xs = [...marked, ...points.map(({ x }) => x)];
  const bottom = size.height - size.bottom;
  const right = size.width - size.right;
  const atX = placeOn(xScale, Math.min(...xs), Math.max(...xs), size.left + 12, right - 12);
  const atY = placeOn(yScale, yTicks[0]!, yTicks.at(-1)!, bottom, size.top);
  const rows = Math.ceil(series.length / legendsPerRow);
  const height = size.height + (rows - 1) * legendRowHeight;
  return svgFrame(title, size.width, height, [
    ...yTicks.flatMap((tick) => [
      `<line class="grid" x1="${size.left}" x2="${right}" y1="${atY(tick).toFixed(1)}" y2="${atY(tick).toFixed(1)}" stroke="#ddd"/>`,
      svgText(size.left - 6, atY(tick) + 4, shortTick(tick), "end"),
    ]),
    ...marked.flatMap((tick) => [
      `<line class="axis" x1="${atX(tick).toFixed(1)}" x2="${atX(tick).toFixed(1)}" y1="${bottom}" y2="${bottom + 4}" stroke="#888"/>`,
      svgText(atX(tick), bottom + 18, shortTick(tick)),
    ]),
    `<line class="axis" x1="${size.left}" x2="${right}" y1="${bottom}" y2="${bottom}" stroke="#888"/>`,
    svgText((size.left + right) / 2, bottom + 38, xLabel),
    svgText(16, (size.top + bottom) / 2, yLabel, "middle", ` transform="rotate(-90 16 ${(size.top + bottom) / 2})"`),
    ...series.flatMap((one, index) => [
      ...drawSeries(one, seriesColor(index), atX, atY),
      ...legend(one, index, size.height - 18 + Math.floor(index / legendsPerRow) * legendRowHeight),
    ]),
  ]);
}

type Place = (value: number) => number;

function drawSeries({ points, kind = "line", isDashed }: Series, color: string, atX: Place, atY: Place): string[] {
  const place = (x: number, y: number) => `${atX(x).toFixed(1)},${atY(y).toFixed(1)}`;
  if (kind === "band") {
    const there = points.map(({ x, y }) => place(x, y));
    const back = points.toReversed().map(({ x, y, high }) => place(x, high ?? y));
    return [`<polygon points="${[...there, ...back].join(" ")}" fill="${color}" fill-opacity="0.18"/>`];
  }
  const dots = points.map(({ x, y }) => {
    return `<circle cx="${atX(x).toFixed(1)}" cy="${atY(y).toFixed(1)}" r="3.5" fill="${color}"/>`;
  });
  if (kind === "dots") return dots;
  const path = points.map(({ x, y }) => place(x, y)).join(" ");
  const line = `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"${isDashed ? dash : ""}/>`;
  // a curve of one point would not be seen
  return [line, ...(!isDashed && (kind === "line" || points.length === 1) ? dots : [])];
}

const dash = ' stroke-dasharray="6 4"';

function legend({ name, kind, isDashed }: Series, index: number, y: number): string[] {
  const color = seriesColor(index);
  const x = size.left + (index % legendsPerRow) * (legendWidth + 60);
  const sample =
    kind === "dots"
      ? `<circle cx="${x + 14}" cy="${y - 4}" r="3.5" fill="${color}"/>`
      : kind === "band"
        ? `<rect x="${x}" y="${y - 9}" width="28" height="10" fill="${color}" fill-opacity="0.18"/>`
        : `<line x1="${x}" x2="${x + 28}" y1="${y - 4}" y2="${y - 4}" stroke="${color}" stroke-width="2"${isDashed ? dash : ""}/>`;
  return [sample, svgText(x + 34, y, name, "start")];
}
