/** Needle grids and RULER's tasks as pages that stand alone. */

import type { RulerRun } from "../eval/ruler/run.ts";
import type { GridRun } from "../eval/ruler/run-grid.ts";
import { countText, percentText } from "./figures.ts";
import { scoreMapSvg } from "./heat-map.ts";
import { facts, htmlPage, notes, paragraph, plots, table } from "./page.ts";
import { plotSvg } from "./plot.ts";

/** 16384 → "16K", 3277 → "3277": only round lengths are short. */
export function lengthText(tokens: number): string {
  return tokens >= 1024 && tokens % 1024 === 0 ? `${tokens / 1024}K` : String(tokens);
}

const score = (value: number | null) => (value === null ? "–" : value.toFixed(1));
const effective = (length: number | null) => (length === null ? "none" : `${lengthText(length)} tokens`);

export type NeedlePage = GridRun & { model: string };

export function needleMap({ model, kind, language, depths, rows }: NeedlePage): string {
  return scoreMapSvg({
    title: `${kind} needles (${language}), ${model}`,
    xLabel: "tokens of the text, question and answer",
    yLabel: "depth of the needle",
    columns: rows.map(({ length }) => lengthText(length)),
    rows: depths.map((depth, index) => ({
      name: percentText(depth, 0),
      scores: rows.map(({ scores }) => scores[index] ?? null),
    })),
  });
}

export function needlePage(run: NeedlePage, rookeryVersion: string): string {
  const {
    model,
    rows,
    mean,
    effectiveLength,
    weakerBelow,
    threshold,
    promptTokens,
    cachedShare,
    seconds,
    left,
    missed,
  } = run;
  return htmlPage(
    `Needles in a haystack: ${model}`,
    [
      plots([needleMap(run)]),
      facts([
        ["mean", score(mean)],
        [`effective length (above ${threshold})`, effective(effectiveLength)],
        ["tokens read", countText(promptTokens)],
        ["of them from the prefix cache", cachedShare === null ? "not told" : percentText(cachedShare)],
        ["time", `${(seconds / 60).toFixed(1)} min`],
        ["Rookery", rookeryVersion],
      ]),
      notes([
        ...weakerBelow.map((length) => `${lengthText(length)} tokens is shorter, and not above the threshold`),
        ...left.map(({ reason }) => reason),
      ]),
      table(
        ["length", "score"],
        rows.map(({ length, mean: one }) => [lengthText(length), score(one)]),
      ),
      ...(missed.length === 0
        ? []
        : [
            "<h2>Answers that were not right</h2>",
            table(
              ["length", "depth", "score", "wanted", "said"],
              missed.map((one) => [
                lengthText(one.length),
                percentText(one.depth, 0),
                (100 * one.score).toFixed(0),
                one.answers.join(", "),
                one.said.slice(0, 200),
              ]),
            ),
          ]),
    ],
    run,
  );
}

export type RulerPage = RulerRun & { model: string; threshold: number };

export function rulerPage(run: RulerPage, rookeryVersion: string): string {
  const { model, summaries, threshold, left } = run;
  const content = summaries.flatMap(({ language, rows, effectiveLength, weakerBelow, ...weighted }) => {
    const tasks = Object.keys(rows[0]?.scores ?? {});
    const columns = rows.map(({ length }) => lengthText(length));
    const map = scoreMapSvg({
      title: `RULER (${language}), ${model}`,
      xLabel: "tokens of the prompt and the answer",
      yLabel: "",
      columns,
      rows: [...tasks.map((name) => ({ name, scores: rows.map(({ scores }) => scores[name] ?? null) }))],
    });
    const curve = plotSvg({
      title: `Mean of the tasks (${language})`,
      xLabel: "tokens",
      yLabel: "score",
      yScale: "linear",
      xTicks: rows.map(({ length }) => length),
      series: [
        { name: "mean", points: rows.map(({ length, mean }) => ({ x: length, y: mean })) },
        {
          name: `threshold ${threshold}`,
          isDashed: true,
          points: rows.map(({ length }) => ({ x: length, y: threshold })),
        },
      ],
    });
    return [
      `<h2>${language === "zh" ? "Chinese" : "English"}</h2>`,
      plots([map, curve]),
      facts([
        [`effective length (mean above ${threshold})`, effective(effectiveLength)],
        ["mean, long lengths weighing more", score(weighted.weightedByLength)],
        ["mean, short lengths weighing more", score(weighted.weightedByShortness)],
      ]),
      notes(weakerBelow.map((length) => `${lengthText(length)} tokens is shorter, and not above the threshold`)),
      table(
        ["task", ...columns],
        [
          ...tasks.map((name) => [name, ...rows.map(({ scores }) => score(scores[name] ?? null))]),
          ["mean", ...rows.map(({ mean }) => score(mean))],
          ["items", ...rows.map(({ count }) => String(count))],
        ],
      ),
    ];
  });
  return htmlPage(
    `Long context: ${model}`,
    [
      ...content,
      notes(left.map(({ reason }) => reason)),
      paragraph(`Rookery ${rookeryVersion}; texts of its own making, or the files that were given.`),
    ],
    run,
  );
}
