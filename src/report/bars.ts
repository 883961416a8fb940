/** Bars that lie, one below the other, each of one or several parts; and a heat map. */
import { shortTick } from "./axis.ts";
import { seriesColor, svgFrame, svgText } from "./plot.ts";

export type Bar = { name: string; parts: readonly number[]; label: string };

export type BarChart = {
  title: string;
  bars: readonly Bar[];
  /** What the parts are, for the legend; empty for bars of one part. */
  partNames: readonly string[];
  /** A value that is marked across all bars. */
  limit?: { value: number; name: string };
};

const width = 560;
const barHeight = 18;
const gap = 8;
const left = 132;
const right = 92;
const top = 36;

export function barsSvg({ title, bars, partNames, limit }: BarChart): string {
  const totals = bars.map(({ parts }) => parts.reduce((sum, part) => sum + part, 0));
  const most = Math.max(...totals, limit?.value ?? 0);
  const scale = most > 0 ? (width - left - right) / most : 0;
  const bottom = top + bars.length * (barHeight + gap);
  const legendTop = bottom + (limit ? 22 : 6);
  const lines = bars.flatMap(({ name, parts, label }, row) => {
    const y = top + row * (barHeight + gap);
    let x = left;
    const rects = parts.map((part, index) => {
      const rect = `<rect x="${x.toFixed(1)}" y="${y}" width="${(part * scale).toFixed(1)}" height="${barHeight}" fill="${seriesColor(index)}"/>`;
      x += part * scale;
      return rect;
    });
    return [svgText(left - 8, y + 13, name, "end"), ...rects, svgText(x + 6, y + 13, label, "start")];
  });
  const mark = limit
    ? [
        `<line class="axis" x1="${(left + limit.value * scale).toFixed(1)}" x2="${(left + limit.value * scale).toFixed(1)}" y1="${top - 4}" y2="${bottom}" stroke="#888" stroke-dasharray="4 3"/>`,
        svgText(left + limit.value * scale, bottom + 12, limit.name),
      ]
    : [];
  const legend = partNames.flatMap((name, index) => [
    `<rect x="${left + (index % 3) * 140}" y="${legendTop + Math.floor(index / 3) * 18}" width="12" height="12" fill="${seriesColor(index)}"/>`,
    svgText(left + (index % 3) * 140 + 18, legendTop + 11 + Math.floor(index / 3) * 18, name, "start"),
  ]);
  const height = legendTop + Math.ceil(partNames.length / 3) * 18 + 10;
  return svgFrame(title, width, height, [...lines, ...mark, ...legend]);
}

export type HeatMap = {
  title: string;
  xLabel: string;
  yLabel: string;
  /** Labels of columns at both ends. */
  xEnds: readonly [string, string];
  /** Rows of equally many cells, 1 being even; null is left blank. */
  rows: readonly { name: string; cells: readonly (number | null)[] }[];
};

/** From blue (none) through the ground (1, an even load) to red (3 and more). */
function heatColor(value: number): { fill: string; opacity: number } {
  if (value < 1) return { fill: "#1f6feb", opacity: Math.min(1, 1 - value) };
  return { fill: "#c2473f", opacity: Math.min(1, (value - 1) / 2) };
}

export function heatMapSvg({ title, xLabel, yLabel, xEnds, rows }: HeatMap): string {
  const columns = Math.max(1, ...rows.map(({ cells }) => cells.length));
  const cellHeight = rows.length > 24 ? 8 : 14;
  const plotWidth = width - 72 - 16;
  const bottom = top + rows.length * cellHeight;
  const cellWidth = plotWidth / columns;
  const cells = rows.flatMap(({ name, cells: values }, row) => {
    const y = top + row * cellHeight;
    const label =
      cellHeight >= 12 || row % 4 === 0
        ? [svgText(66, y + cellHeight - 2, name, "end", ' style="font-size:10px"')]
        : [];
    const drawn = values.flatMap((value, column) => {
      if (value === null) return [];
      const { fill, opacity } = heatColor(value);
      return `<rect x="${(72 + column * cellWidth).toFixed(1)}" y="${y}" width="${(cellWidth + 0.3).toFixed(1)}" height="${cellHeight}" fill="${fill}" fill-opacity="${opacity.toFixed(2)}"/>`;
    });
    return [...label, ...drawn];
  });
  const key = [0, 0.5, 1, 2, 3].flatMap((value, index) => {
    const { fill, opacity } = heatColor(value);
    const x = 72 + index * 70;
    return [
      `<rect class="axis" x="${x}" y="${bottom + 40}" width="14" height="12" fill="${fill}" fill-opacity="${opacity.toFixed(2)}" stroke="#888"/>`,
      svgText(x + 20, bottom + 50, `${shortTick(value)}×${value === 3 ? "+" : ""}`, "start"),
    ];
  });
  return svgFrame(title, width, bottom + 62, [
    ...cells,
    `<rect class="axis" x="72" y="${top}" width="${plotWidth}" height="${rows.length * cellHeight}" fill="none" stroke="#888"/>`,
    svgText(72, bottom + 14, xEnds[0], "start"),
    svgText(72 + plotWidth, bottom + 14, xEnds[1], "end"),
    svgText(72 + plotWidth / 2, bottom + 30, xLabel),
    svgText(16, (top + bottom) / 2, yLabel, "middle", ` transform="rotate(-90 16 ${(top + bottom) / 2})"`),
    ...key,
  ]);
}
