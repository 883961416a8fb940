/** Writes the tables and plots of docs/recipe.md: `node scripts/recipe/page.ts recipe.jsonl`. */
import fs from "node:fs";
import path from "node:path";
import { barsSvg } from "../../src/report/bars.ts";
import { plotSvg } from "../../src/report/plot.ts";
import { meanOf } from "../../src/scaling/numeric.ts";
import { writeSection } from "../docs-section.ts";
import { readJsonLines } from "../json-lines.ts";
import { dpoVariants, sftVariants } from "./plan.ts";
import { familyOf, familyShare, gainText, macroShare, percent, type RecipeRecord } from "./records.ts";

const docs = path.join(import.meta.dirname, "../../docs");
const [file = "recipe.jsonl"] = process.argv.slice(2);
const records = readJsonLines<RecipeRecord>(file);
const of = (variant: string) => records.filter(({ name }) => name.replace(/-\d+$/, "") === variant);
const answersOf = (variant: string, which: "test" | "unseen" = "test") =>
  of(variant).flatMap((one) => (one[which] ? [one[which]] : []));
fs.mkdirSync(path.join(docs, "recipe"), { recursive: true });

/** Exact match of each seed, and the difference to another variant with its 95% interval over questions. */
function row(variant: string, against: string): string {
  const [test, before] = [answersOf(variant), answersOf(against)];
  if (test.length === 0) return `| ${variant} | not run | | |`;
  const shares = test.map(macroShare);
  const seedsShown = shares.map(percent).join(", ");
  const unseen = percent(meanOf(answersOf(variant, "unseen").map(macroShare)));
  if (variant === against || before.length === 0) return `| ${variant} | ${seedsShown} | ${unseen} | |`;
  return `| ${variant} | ${seedsShown} | ${unseen} | ${gainText(before, test)} |`;
}

function table(variants: readonly string[], against: string): string[] {
  return [
    `| | exact match, % (each seed) | unseen families | against ${against}: points (95%) |`,
    "| --- | --- | --- | --- |",
    ...variants.map((variant) => row(variant, against)),
  ];
}

/** Exact match of each family after each stage, the mean of its seeds. */
function familyTable(stages: readonly string[]): string[] {
  const shareOf = (stage: string, which: "test" | "unseen", family: string) => {
    const answers = answersOf(stage, which);
    return answers.length === 0 ? "" : percent(familyShare(answers, family));
  };
  const rows = (["test", "unseen"] as const).flatMap((which) => {
    const families = [...new Set(Object.keys(answersOf(stages[0]!, which)[0] ?? {}).map(familyOf))].sort();
    return families.map((family) => {
      const name = which === "unseen" ? `${family} (never trained on)` : family;
      return `| ${name} | ${stages.map((stage) => shareOf(stage, which, family)).join(" | ")} |`;
    });
  });
  return [`| right, % | ${stages.join(" | ")} |`, `| --- |${" --- |".repeat(stages.length)}`, ...rows];
}

/** What the reward model ranks rightly of held-out pairs at its end. */
function judgeLine(): string {
  const last = of("judge")[0]?.measurements.at(-1);
  if (!last) return "";
  const [accuracy, calibration] = [last.heldOutAccuracy ?? 0, last.calibrationError ?? 0];
  return `The reward model ranks ${percent(accuracy)}% of held-out pairs rightly; calibration error ${calibration.toFixed(3)}.`;
}

function bars(title: string, variants: readonly string[], name: string): string {
  const shown = variants.filter((variant) => answersOf(variant).length > 0);
  const svg = barsSvg({
    title,
    partNames: [],
    bars: shown.map((variant) => {
      const share = meanOf(answersOf(variant).map(macroShare));
      return { name: variant, parts: [share], label: `${percent(share)}%` };
    }),
  });
  fs.writeFileSync(path.join(docs, "recipe", name), svg);
  return `![${title}](recipe/${name})`;
}

/** The judge's reward and the verifier's exact match, of one run of each of two variants, over its steps. */
function curves(variants: readonly string[]): string {
  const series = variants.flatMap((variant) => {
    const measured = of(variant)[0]?.measurements ?? [];
    const start = measured[0]?.sampledReward ?? 0;
    const points = (valueAt: (one: (typeof measured)[number]) => number) =>
      measured.map((one) => ({ x: one.step, y: valueAt(one) }));
    return [
      { name: `${variant}: exact match`, points: points((one) => one.examExactMatch ?? 0) },
      {
        name: `${variant}: reward (σ of its rise)`,
        points: points((one) => 1 / (1 + Math.exp(start - (one.sampledReward ?? start)))),
        isDashed: true,
      },
    ];
  });
  const title = "Reward of the judge, and exact match that it never saw";
  if (series.every(({ points }) => points.length === 0)) return "";
  const axes = { xLabel: "update", yLabel: "share", xScale: "linear", yScale: "linear" } as const;
  fs.writeFileSync(path.join(docs, "recipe", "reward.svg"), plotSvg({ title, ...axes, series }));
  return `![${title}](recipe/reward.svg)`;
}

const marks = ["<!-- recorded runs: scripts/recipe/page.ts -->", "<!-- end -->"] as const;
writeSection(path.join(docs, "recipe.md"), marks, [
  "### Stages",
  "",
  ...table(["base", "tuned", "aligned", ...(of("aligned-fp8").length > 0 ? ["aligned-fp8"] : [])], "tuned"),
  "",
  judgeLine(),
  "",
  ...familyTable(["base", "tuned", "aligned"]),
  "",
  "### DPO, 40 updates",
  "",
  ...table(["tuned", ...Object.keys(dpoVariants)], "mixed"),
  "",
  bars("Exact match after DPO of 40 updates", Object.keys(dpoVariants), "dpo.svg"),
  "",
  curves(["mixed", "hacked"]),
  "",
  "### SFT, 400 updates from `base`",
  "",
  ...table(Object.keys(sftVariants), "dropout-on"),
  "",
  bars("Exact match after SFT of 400 updates", Object.keys(sftVariants), "sft.svg"),
]);
