/** Two evaluations side by side, as a page that stands alone: differences with their intervals, and what flipped. */
import type { EvalComparison, TaskComparison } from "../eval/compare.ts";
import { percentText } from "./figures.ts";
import { facts, htmlPage, notes, paragraph, plots, table } from "./page.ts";
import { escapeXml, svgFrame, svgText } from "./plot.ts";

const points = (share: number) => `${share > 0 ? "+" : ""}${(100 * share).toFixed(2)}`;

export function comparisonPage(comparison: EvalComparison): string {
  const { a, b, tasks, overall, confidence, margin, failures } = comparison;
  return htmlPage(
    `${b} against ${a}`,
    [
      facts([
        ["A", a],
        ["B", b],
        ["confidence", percentText(confidence, 0)],
        ["gate", margin === null ? "B is not surely worse" : `B is surely less than ${percentText(margin)} below A`],
        ["verdict", failures.length === 0 ? "passed" : failures.join("; ")],
        ...(overall
          ? [
              [
                "all tasks alike",
                `${points(overall.difference)} points (${overall.interval.map(points).join(" to ")})`,
              ] as const,
            ]
          : []),
      ]),
      plots([intervalsSvg(tasks)]),
      table(
        ["task", "questions", "A", "B", "B − A, points", "interval", "won", "lost", "p", "B is"],
        tasks.map((one) => [
          one.task,
          String(one.count),
          percentText(one.meanA, 2),
          percentText(one.meanB, 2),
          points(one.difference),
          one.interval.map(points).join(" to "),
          String(one.won),
          String(one.lost),
          one.exactP === null ? "graded" : one.exactP.toPrecision(2),
          one.verdict,
        ]),
      ),
      "<h2>What so many questions can show</h2>",
      table(
        ["task", "answered differently", "chance to see 3 points", "seen with a chance of 80%, points"],
        tasks.flatMap(({ task, power }) =>
          power.map((one) => [
            task,
            percentText(one.discordance),
            percentText(one.ofThreePoints, 0),
            (100 * one.smallestDifference).toFixed(1),
          ]),
        ),
      ),
      notes([
        "Intervals come from resampling the questions, which both models share; p is McNemar's exact test. Where several tasks are compared, each is held to a stricter level, so that all verdicts together are wrong as seldom as one.",
      ]),
      ...tasks.flatMap(flipSection),
    ],
    comparison,
  );
}

function flipSection({ task, flips, won, lost }: TaskComparison): string[] {
  if (flips.length === 0) return [];
  return [
    `<h2>${escapeXml(task)}: questions that flipped</h2>`,
    paragraph(`${lost} lost and ${won} won; ${flips.length} of them here, the lost ones first.`),
    ...flips.map(
      ({ item, scoreA, scoreB, question, reference, answerA, answerB }) =>
        `<details><summary>${escapeXml(`${scoreB < scoreA ? "lost" : "won"}: ${item}`)}</summary><pre dir="auto">${escapeXml(question)}</pre>${facts(
          [
            ["A", answerA],
            ["B", answerB],
            ["right", reference],
          ],
        )}</details>`,
    ),
  ];
}

/** Each task's difference as a dot on its interval, with a line where there is none. */
function intervalsSvg(tasks: readonly TaskComparison[]): string {
  const [width, left, right, row, top] = [560, 140, 30, 26, 40];
  const most = Math.max(0.01, ...tasks.flatMap(({ interval }) => interval.map(Math.abs)));
  const x = (share: number) => left + ((share + most) / (2 * most)) * (width - left - right);
  const bottom = top + tasks.length * row;
  const lines = tasks.flatMap(({ task, interval: [low, high], difference, verdict }, index) => {
    const y = top + index * row + 10;
    const color = verdict === "worse" ? "#c2473f" : verdict === "better" ? "#2f8f4e" : "#6e7781";
    return [
      svgText(left - 8, y + 4, task, "end"),
      `<line x1="${x(low).toFixed(1)}" x2="${x(high).toFixed(1)}" y1="${y}" y2="${y}" stroke="${color}" stroke-width="3"/>`,
      `<circle cx="${x(difference).toFixed(1)}" cy="${y}" r="5" fill="${color}"/>`,
    ];
  });
  return svgFrame("B − A, in points, with its interval", width, bottom + 30, [
    `<line class="axis" x1="${x(0).toFixed(1)}" x2="${x(0).toFixed(1)}" y1="${top - 8}" y2="${bottom}" stroke="#888" stroke-dasharray="4 3"/>`,
    ...lines,
    ...[-most, 0, most].map((share) => svgText(x(share), bottom + 16, points(share))),
  ]);
}
