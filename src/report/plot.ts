/** A plot of lines over logarithmic axes, as an SVG file that stands alone. */

export type Series = { name: string; points: readonly { x: number; y: number }[]; isDashed?: boolean };

export type Plot = {
  title: string;
  xLabel: string;
  yLabel: string;
  series: readonly Series[];
  /** Values of x that are marked. */
  xTicks: readonly number[];
};

const size = { width: 560, height: 340, left: 72, right: 16, top: 36, bottom: 84 };
const colors = ["#1f6feb", "#8a6d3b", "#2f8f4e", "#b3413a"];
const font = 'font-family="system-ui, sans-serif" font-size="12" fill="#222"';

export function escapeXml(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

/** 1, 2 and 5 times powers of ten from below `min` to above `max`. */
export function logTicks(min: number, max: number): number[] {
  const ticks: number[] = [];
  // a power more on either side, since a logarithm may be rounded over the edge
  for (let power = Math.floor(Math.log10(min)) - 1; power <= Math.ceil(Math.log10(max)) + 1; power++) {
    for (const step of [1, 2, 5]) ticks.push(step * 10 ** power);
  }
  const first = ticks.findLastIndex((tick) => tick <= min);
  const last = ticks.findIndex((tick) => tick >= max);
  return ticks.slice(Math.max(0, first), last < 0 ? ticks.length : last + 1);
}

function shortTick(value: number): string {
  return value >= 1e6 ? `${value / 1e6}M` : String(Number(value.toPrecision(6)));
}

/** Draws it. Values must be positive, and there must be one point at least. */
export function plotSvg({ title, xLabel, yLabel, series, xTicks }: Plot): string {
  const points = series.flatMap((one) => one.points);
  const yTicks = logTicks(Math.min(...points.map(({ y }) => y)), Math.max(...points.map(({ y }) => y)));
  const xs = [...xTicks, ...points.map(({ x }) => x)];
  const scale = (from: number, to: number, start: number, end: number) => (value: number) =>
    from === to ? (start + end) / 2 : start + ((end - start) * Math.log(value / from)) / Math.log(to / from);
  const bottom = size.height - size.bottom;
  const right = size.width - size.right;
  const atX = scale(Math.min(...xs), Math.max(...xs), size.left + 12, right - 12);
  const atY = scale(yTicks[0]!, yTicks.at(-1)!, bottom, size.top);
  const place = ({ x, y }: { x: number; y: number }) => `${atX(x).toFixed(1)},${atY(y).toFixed(1)}`;
  const text = (x: number, y: number, words: string, anchor = "middle", more = "") =>
    `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}" ${font}${more}>${escapeXml(words)}</text>`;
  const lines = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="${escapeXml(title)}">`,
    `<rect width="${size.width}" height="${size.height}" fill="#fff"/>`,
    text(size.width / 2, 20, title, "middle", ' font-weight="600"'),
    ...yTicks.flatMap((tick) => [
      `<line x1="${size.left}" x2="${right}" y1="${atY(tick).toFixed(1)}" y2="${atY(tick).toFixed(1)}" stroke="#ddd"/>`,
      text(size.left - 6, atY(tick) + 4, shortTick(tick), "end"),
    ]),
    ...xTicks.flatMap((tick) => [
      `<line x1="${atX(tick).toFixed(1)}" x2="${atX(tick).toFixed(1)}" y1="${bottom}" y2="${bottom + 4}" stroke="#888"/>`,
      text(atX(tick), bottom + 18, shortTick(tick)),
    ]),
    `<line x1="${size.left}" x2="${right}" y1="${bottom}" y2="${bottom}" stroke="#888"/>`,
    text((size.left + right) / 2, bottom + 38, xLabel),
    text(
      16,
      size.top + (bottom - size.top) / 2,
      yLabel,
      "middle",
      ` transform="rotate(-90 16 ${(size.top + bottom) / 2})"`,
    ),
    ...series.flatMap((one, index) => {
      const color = colors[index % colors.length]!;
      const dash = one.isDashed ? ' stroke-dasharray="6 4"' : "";
      const legendX = size.left + index * 180;
      const legendY = size.height - 18;
      return [
        `<polyline points="${one.points.map(place).join(" ")}" fill="none" stroke="${color}" stroke-width="2"${dash}/>`,
        ...(one.isDashed ? [] : one.points).map((point) => {
          const [x, y] = place(point).split(",");
          return `<circle cx="${x}" cy="${y}" r="3.5" fill="${color}"/>`;
        }),
        `<line x1="${legendX}" x2="${legendX + 28}" y1="${legendY - 4}" y2="${legendY - 4}" stroke="${color}" stroke-width="2"${dash}/>`,
        text(legendX + 34, legendY, one.name, "start"),
      ];
    }),
    "</svg>",
  ];
  return `${lines.join("\n")}\n`;
}
