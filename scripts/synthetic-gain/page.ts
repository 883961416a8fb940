/** Writes the tables and the plot of docs/recipe/synthetic.md: `node scripts/synthetic-gain/page.ts FOLDER`. */
import fs from "node:fs";
import path from "node:path";
import { barsSvg } from "../../src/report/bars.ts";
import { meanOf } from "../../src/scaling/numeric.ts";
import { writeSection } from "../docs-section.ts";
import { familyOf, familyShare, gainText, macroShare, percent } from "../recipe/records.ts";
import { type RowOf, readResults } from "./results.ts";

const [folder = "."] = process.argv.slice(2);
const docs = path.join(import.meta.dirname, "../../docs/recipe");
const rows = readResults(folder);
const rowsOf = <Part extends "sft" | "pretraining">(part: Part, arm: string) =>
  rows.filter((row): row is RowOf<Part> => row.part === part && row.arm === arm);

const each = (values: readonly number[], shown: (value: number) => string) =>
  `**${shown(meanOf(values))}** (${values.map(shown).join(", ")})`;

const sftArms = ["natural", "unfiltered", "filtered", "right"];
const testsOf = (arm: string) => rowsOf("sft", arm).map(({ test }) => test);
const [natural, unfiltered] = [testsOf("natural"), testsOf("unfiltered")];

function sftTable(): string[] {
  return [
    "| SFT on | exact match, % (each seed) | unseen families, % | against natural alone | against unfiltered |",
    "| --- | --- | --- | --- | --- |",
    ...sftArms.map((arm) => {
      const tests = testsOf(arm);
      const unseen = rowsOf("sft", arm).map((row) => macroShare(row.unseen));
      const [fromNatural, fromUnfiltered] = [
        arm === "natural" ? "" : gainText(natural, tests),
        arm === "natural" || arm === "unfiltered" ? "" : gainText(unfiltered, tests),
      ];
      return `| ${arm} | ${each(tests.map(macroShare), percent)} | ${each(unseen, percent)} | ${fromNatural} | ${fromUnfiltered} |`;
    }),
  ];
}

function familyTable(): string[] {
  const families = [...new Set(Object.keys(natural[0] ?? {}).map(familyOf))];
  return [
    `| family | ${sftArms.join(" | ")} |`,
    `| --- |${" --- |".repeat(sftArms.length)}`,
    ...families
      .map((family) => ({ family, shares: sftArms.map((arm) => familyShare(testsOf(arm), family)) }))
      .sort((a, b) => b.shares.at(-1)! - a.shares.at(-1)!)
      .map(({ family, shares }) => `| ${family} | ${shares.map(percent).join(" | ")} |`),
  ];
}

const pretrainingArms = ["0%", "21%"];
const shownFirst = rowsOf("pretraining", pretrainingArms[0]!).map(({ test }) => test);

function pretrainingTable(): string[] {
  return [
    "| synthetic tokens | natural texts, bits a byte | texts of tasks, bits a byte | exact match after 4 examples, % | against 0% |",
    "| --- | --- | --- | --- | --- |",
    ...pretrainingArms.map((arm) => {
      const own = rowsOf("pretraining", arm);
      const bits = (domain: string) =>
        each(
          own.map(({ bitsPerByte }) => bitsPerByte[domain]!),
          (value) => value.toFixed(3),
        );
      const tests = own.map(({ test }) => test);
      const gain = arm === pretrainingArms[0] ? "" : gainText(shownFirst, tests);
      return `| ${arm} | ${bits("natural")} | ${bits("tasks")} | ${each(tests.map(macroShare), percent)} | ${gain} |`;
    }),
  ];
}

function plot(): string {
  const title = "Exact match after SFT, mean of the families";
  const bars = sftArms.flatMap((arm) =>
    rowsOf("sft", arm).map(({ seed, test }) => ({
      name: `${arm}, seed ${seed}`,
      parts: [macroShare(test)],
      label: `${percent(macroShare(test))}%`,
    })),
  );
  fs.writeFileSync(path.join(docs, "synthetic.svg"), barsSvg({ title, bars, partNames: [] }));
  return `![${title}](synthetic.svg)`;
}

function teacherWords(): string {
  const made = rows.find((row): row is RowOf<"synthesis"> => row.part === "synthesis");
  if (!made) return "";
  const { records, kept, answerable, samples, wrongSamples } = made;
  return `Of ${records} tasks, 5 samples each, ${percent(wrongSamples / samples)}% of the samples are wrong; ${kept.records} records are kept, ${percent(
    kept.wrong / kept.records,
  )}% of them wrong, and ${percent(answerable.keptRight / answerable.records)}% of those that had a right answer.`;
}

const marks = ["<!-- measured: scripts/synthetic-gain/page.ts -->", "<!-- end -->"] as const;
writeSection(path.join(docs, "synthetic.md"), marks, [
  ...[teacherWords(), "", "## SFT", "", ...sftTable(), "", plot(), "", ...familyTable()],
  ...["", "## Pretraining", "", ...pretrainingTable()],
]);
