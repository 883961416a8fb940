/** The scores of a model on a PenguinScrolls-like benchmark, as a page. */
import type { Agreement } from "../eval/scroll/agreement.ts";
import { nullReasons, type ScrollMean, type ScrollReport } from "../eval/scroll/scores.ts";
import { barsSvg } from "./bars.ts";
import { facts, htmlPage, notes, paragraph, plots, table } from "./page.ts";

export type ScrollExample = {
  task: string;
  question: string;
  reference: string;
  answer: string;
  score: number;
  analysis: string;
};

export type ScrollPage = ScrollReport & {
  responses: string;
  judge: string | null;
  rubricVersion: string;
  agreements: { name: string; agreement: Agreement }[];
  examples: ScrollExample[];
};

const number = (value: number | null, digits = 1) => (value === null ? "–" : value.toFixed(digits));

function meansTable(means: readonly ScrollMean[]): string {
  return table(
    ["", "items", "scored", "mean", "± s.e.", "nulls as 0"],
    means.map(({ name, items, scored, mean, meanNullsAsZero, standardError }) => [
      ...[name, String(items), String(scored)],
      ...[number(mean, 2), number(standardError, 2), number(meanNullsAsZero, 2)],
    ]),
  );
}

const bars = (title: string, means: readonly ScrollMean[]) =>
  barsSvg({
    title,
    bars: means.map(({ name, mean }) => ({ name, parts: [mean ?? 0], label: number(mean) })),
    partNames: [],
  });

export function scrollPage(page: ScrollPage, rookeryVersion: string): string {
  const { overall, nulls, judge, agreements, examples } = page;
  const parts: [string, readonly ScrollMean[]][] = [
    ["By category", page.categories],
    ["By length in tokens", page.lengths],
    ["By language", page.languages],
    ["By task", page.tasks],
    ["By subtask", page.subtasks],
    ["By how it is graded", page.kinds],
  ];
  return htmlPage(
    `Penguin Scrolls: ${page.responses}`,
    [
      facts([
        ["mean over items with a score", number(overall.mean, 2)],
        ["mean with nulls as 0", number(overall.meanNullsAsZero, 2)],
        ["items, and those with a score", `${overall.items}, ${overall.scored}`],
        ["judge", judge ?? "none: every answer was checked"],
        ["rubric", page.rubricVersion],
        ["Rookery", rookeryVersion],
      ]),
      notes(
        Object.entries(nulls).map(
          ([reason, count]) => `${count} without a score: ${nullReasons[reason as keyof typeof nullReasons]}`,
        ),
      ),
      plots([bars("Mean by category", page.categories), bars("Mean by length", page.lengths)]),
      ...parts.flatMap(([title, means]) => (means.length === 0 ? [] : [`<h2>${title}</h2>`, meansTable(means)])),
      ...(agreements.length === 0 ? [] : ["<h2>Agreement</h2>", agreementTable(agreements)]),
      ...(examples.length === 0
        ? []
        : [
            "<h2>Answers that scored lowest</h2>",
            table(
              ["task", "score", "question", "reference", "answer", "analysis"],
              examples.map((one) => [
                ...[one.task, (100 * one.score).toFixed(0)],
                ...[one.question, one.reference, one.answer, one.analysis].map((text) => text.slice(0, 400)),
              ]),
            ),
          ]),
      paragraph(
        "PenguinScrolls leaves out what has no score; with nulls as 0 a model or a judge that fails gains nothing by it.",
      ),
    ],
    page,
  );
}

function agreementTable(agreements: ScrollPage["agreements"]): string {
  return table(
    ["", "answers", "same side", "kappa", "mean distance", "second less first", "correlation"],
    agreements.map(({ name, agreement: one }) => [
      ...[name, String(one.count), one.sameSide === null ? "–" : `${(100 * one.sameSide).toFixed(1)}%`],
      ...[number(one.kappa, 2), number(one.meanDistance), number(one.bias), number(one.correlation, 2)],
    ]),
  );
}
