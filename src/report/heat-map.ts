/** A map of scores, each written into its cell: from red (0) through the ground to blue (100). */
import { svgFrame, svgText } from "./plot.ts";

export type ScoreMap = {
  title: string;
  xLabel: string;
  yLabel: string;
  columns: readonly string[];
  /** Rows from top to bottom; scores are 0 to 100, null is left blank. */
  rows: readonly { name: string; scores: readonly (number | null)[] }[];
};

const frame = { right: 16, top: 36, bottom: 78 };
/** Room for the names of rows: at least, and for each letter. */
const nameWidth = { least: 84, letter: 7, around: 14 };
const cell = { width: 48, height: 26 };
const leastWidth = 560;
const [low, high] = ["#c2473f", "#1f6feb"];

/** How far a score is from the middle, which is the page's own ground. */
function colorOf(score: number): { fill: string; opacity: number } {
  return { fill: score < 50 ? low : high, opacity: (0.75 * Math.abs(score - 50)) / 50 };
}

const rect = (x: number, y: number, width: number, height: number, score: number) => {
  const { fill, opacity } = colorOf(score);
  const place = `x="${x.toFixed(1)}" y="${y.toFixed(1)}" width="${width.toFixed(1)}" height="${height}"`;
  return `<rect ${place} fill="${fill}" fill-opacity="${opacity.toFixed(3)}"/>`;
};

export function scoreMapSvg({ title, xLabel, yLabel, columns, rows }: ScoreMap): string {
  const longestName = Math.max(0, ...rows.map(({ name }) => name.length));
  const left = Math.max(nameWidth.least, nameWidth.around + nameWidth.letter * longestName);
  const width = Math.max(leastWidth, left + frame.right + columns.length * cell.width);
  const plotWidth = width - left - frame.right;
  const cellWidth = plotWidth / Math.max(1, columns.length);
  const bottom = frame.top + rows.length * cell.height;
  const atX = (column: number) => left + column * cellWidth;
  const cells = rows.flatMap(({ name, scores }, row) => {
    const y = frame.top + row * cell.height;
    const drawn = scores.flatMap((score, column) =>
      score === null
        ? []
        : [
            rect(atX(column), y, cellWidth + 0.3, cell.height, score),
            svgText(atX(column) + cellWidth / 2, y + cell.height / 2 + 4, score.toFixed(0)),
          ],
    );
    return [svgText(left - 6, y + cell.height / 2 + 4, name, "end"), ...drawn];
  });
  const middle = (frame.top + bottom) / 2;
  const key = [0, 25, 50, 75, 100].flatMap((score, index) => {
    const x = left + index * 60;
    return [
      rect(x, bottom + 52, 16, 14, score),
      `<rect class="axis" x="${x}" y="${bottom + 52}" width="16" height="14" fill="none" stroke="#888"/>`,
      svgText(x + 22, bottom + 63, String(score), "start"),
    ];
  });
  return svgFrame(title, width, bottom + frame.bottom, [
    ...cells,
    `<rect class="axis" x="${left}" y="${frame.top}" width="${plotWidth}" height="${bottom - frame.top}" fill="none" stroke="#888"/>`,
    ...columns.map((name, column) => svgText(atX(column) + cellWidth / 2, bottom + 16, name)),
    svgText(left + plotWidth / 2, bottom + 36, xLabel),
    svgText(14, middle, yLabel, "middle", ` transform="rotate(-90 14 ${middle})"`),
    ...key,
  ]);
}
