/** What became of the questions of a benchmark that was built, as a page. */
import type { BuiltItem } from "../eval/scroll/build/build.ts";
import { type CheckName, checkNames } from "../eval/scroll/build/checks.ts";
import { barsSvg } from "./bars.ts";
import { facts, htmlPage, notes, plots, table } from "./page.ts";

export type BuiltDocument = {
  path: string;
  title: string;
  language: string;
  characters: number;
  sections: number;
  tables: number;
  /** Pages left out because their text is bad. */
  flaggedPages: number;
  isCut: boolean;
  drafted: number;
  left: number;
  /** Passages about which the writer wrote nothing that can be read. */
  failedPassages: number;
};

type Counts = { name: string; drafted: number; left: number };

export type BuildReport = {
  documents: BuiltDocument[];
  drafted: number;
  left: number;
  doubtful: number;
  tasks: Counts[];
  drafters: Counts[];
  languages: Counts[];
  /** In the order in which they are made: how many came to each, and how many it rejected. */
  checks: { name: CheckName; reached: number; rejected: number }[];
};

export function reportBuild(items: readonly BuiltItem[], documents: BuiltDocument[]): BuildReport {
  const counts = (nameOf: (item: BuiltItem) => string): Counts[] =>
    [...Map.groupBy(items, nameOf)].map(([name, those]) => ({
      name,
      drafted: those.length,
      left: leftOf(those).length,
    }));
  let reached = items.length;
  const checks = (Object.keys(checkNames) as CheckName[]).map((name) => {
    const rejected = items.filter((item) => item.rejected?.check === name).length;
    const one = { name, reached, rejected };
    reached -= rejected;
    return one;
  });
  return {
    ...{ documents, drafted: items.length, left: leftOf(items).length, checks },
    doubtful: items.filter(({ doubt }) => doubt !== null).length,
    tasks: counts(({ record }) => `${record.dataset} / ${record.split}`),
    drafters: counts(({ draft }) => draft.drafter),
    languages: counts(({ record }) => record.language),
  };
}

const leftOf = (items: readonly BuiltItem[]) => items.filter(({ rejected }) => rejected === null);

const mostShown = 60;

export function buildPage(report: BuildReport, items: readonly BuiltItem[], rookeryVersion: string): string {
  const { documents, drafted, left, doubtful, checks, tasks, drafters, languages } = report;
  const countTable = (title: string, rows: readonly Counts[]) => [
    `<h2>${title}</h2>`,
    table(
      ["", "drafted", "left"],
      rows.map((one) => [one.name, String(one.drafted), String(one.left)]),
    ),
  ];
  const examples = (title: string, those: readonly BuiltItem[]) =>
    those.length === 0
      ? []
      : [
          `<h2>${title}</h2>`,
          table(
            ["task", "question", "answer", "evidence", "why"],
            those
              .slice(0, mostShown)
              .map(({ record, draft, rejected, doubt }) => [
                `${record.dataset} / ${record.split}`,
                ...[record.question, record.answer, draft.evidence.map(({ text }) => text).join(" … ")].map((text) =>
                  text.slice(0, 300),
                ),
                rejected ? `${rejected.check}: ${rejected.reason}` : (doubt ?? ""),
              ]),
          ),
        ];
  return htmlPage(
    "A benchmark of one's own documents",
    [
      facts([
        ["documents", String(documents.length)],
        ["questions drafted", String(drafted)],
        ["left after the checks", String(left)],
        ["of them doubtful", String(doubtful)],
        ["Rookery", rookeryVersion],
      ]),
      plots([
        barsSvg({
          title: "Questions that are left, by task",
          bars: tasks.map((one) => ({
            name: one.name.split(" / ").at(-1)!,
            parts: [one.left, one.drafted - one.left],
            label: `${one.left} of ${one.drafted}`,
          })),
          partNames: ["left", "rejected"],
        }),
      ]),
      "<h2>Checks</h2>",
      table(
        ["check", "reached", "rejected"],
        checks.map(({ name, reached, rejected }) => [checkNames[name], String(reached), String(rejected)]),
      ),
      ...countTable("By task", tasks),
      ...countTable("By drafter", drafters),
      ...countTable("By language", languages),
      "<h2>Documents</h2>",
      table(
        ["document", "language", "characters", "sections", "tables", "bad pages", "drafted", "left"],
        documents.map((one) => [
          ...[one.title, one.language, `${one.characters}${one.isCut ? " (cut)" : ""}`],
          ...[one.sections, one.tables, one.flaggedPages, one.drafted, one.left].map(String),
        ]),
      ),
      notes(
        documents
          .filter(({ failedPassages }) => failedPassages > 0)
          .map(
            ({ title, failedPassages }) =>
              `${title}: the writer wrote nothing that can be read about ${failedPassages} passages`,
          ),
      ),
      ...examples("Left", leftOf(items)),
      ...examples(
        "Rejected",
        items.filter(({ rejected }) => rejected !== null),
      ),
    ],
    report,
  );
}
