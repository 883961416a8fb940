/** A synthetic data set as a page that stands alone; all that its plots show is in the page as JSON, too. */
import { shortfallOf } from "../synth/instruction-counts.ts";
import type { Cost } from "../synth/record.ts";
import type { LengthBin, ShareRow, SynthExample, SynthReport } from "../synth/report.ts";
import type { AgreedCounts } from "../synth/report-bias.ts";
import type { DiversityReport } from "../synth/report-diversity.ts";
import { barsSvg } from "./bars.ts";
import { countText, percentText } from "./figures.ts";
import { facts, htmlPage, notes, paragraph, plots, table } from "./page.ts";
import { escapeXml, plotSvg } from "./plot.ts";

export function datasetPage(report: SynthReport, rookeryVersion: string): string {
  return htmlPage(
    `Data set ${report.name}`,
    [
      paragraph(`Made by Rookery ${rookeryVersion}: every record was ${Object.values(stepWords).join(", ")}.`),
      summary(report),
      "<h2>Yield of the steps</h2>",
      ...yieldSection(report),
      "<h2>Cost</h2>",
      costSection(report),
      "<h2>What it is made of</h2>",
      ...compositionSection(report),
      "<h2>Diversity</h2>",
      ...diversitySection(report),
      "<h2>Bias</h2>",
      ...biasSection(report),
      "<h2>Examples</h2>",
      ...examplesSection("Kept", report.keptExamples),
      ...examplesSection("Not kept", report.rejectedExamples),
    ],
    { rookeryVersion, ...report },
  );
}

const stepWords: Record<string, string> = {
  generate: "generated from a seed",
  evolve: "or evolved from another record",
  answer: "answered",
  filter: "filtered",
};

/** tooFewAnswers, lost-task: "too few answers", "lost task". */
const wordsOf = (name: string): string =>
  name
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .replace(/-/g, " ")
    .toLowerCase();

const shareText = (part: number, whole: number): string => (whole === 0 ? "none" : percentText(part / whole));
const tokensOf = ({ promptTokens, answerTokens }: Cost): number => promptTokens + answerTokens;
const moneyText = (money: number): string => (money === 0 ? "none" : String(Number(money.toPrecision(3))));

function summary(report: SynthReport): string {
  const { records, kept, waiting, rejected, spent, bias } = report;
  return facts([
    ["records", `${records}: ${kept} kept, ${rejected} rejected, ${waiting} wait for a person`],
    ["requests took", `${countText(tokensOf(spent))} tokens, ${moneyText(spent.money)} in money`],
    [
      "a kept record took",
      kept === 0
        ? "none is kept"
        : `${countText(tokensOf(spent) / kept)} tokens, ${moneyText(spent.money / kept)} in money`,
    ],
    ["wrong among kept", errorText(bias.kept.wrong, bias.kept.records)],
    [
      "right ones kept",
      bias.answerable.records === 0
        ? "no answer is known"
        : `${percentText(bias.answerable.keptRight / bias.answerable.records)} of the ${bias.answerable.records} records whose samples hold a right answer`,
    ],
  ]);
}

const errorText = (wrong: number, of: number): string =>
  of === 0 ? "no answer is known" : `${percentText(wrong / of, 2)} (${wrong} of ${of} whose answer is known)`;

/** What was wanted from seeds, and what is missing of it. */
function instructionsNote({ instructions }: SynthReport): string {
  if (instructions === null) return "";
  const { wanted, usable } = instructions;
  const missing = shortfallOf(instructions).map(({ count, why }) => `${count} ${why}`);
  return [
    paragraph(`${usable} of the ${wanted} instructions that were wanted from seeds went on to the next steps.`),
    notes(missing),
  ].join("\n");
}

function yieldSection(report: SynthReport): string[] {
  const { yields, reasons } = report;
  const bars = yields.map(({ step, left, rejected, waiting, came }) => ({
    name: step,
    parts: [left, rejected, waiting],
    label: `${shareText(left, came)} of ${came}`,
  }));
  return [
    instructionsNote(report),
    plots([
      barsSvg({
        title: "Records that came to each step",
        bars,
        partNames: ["went on", "rejected", "wait for a person"],
      }),
      reasons.length === 0
        ? ""
        : barsSvg({
            title: "Reasons of rejections",
            bars: reasons
              .slice(0, 16)
              .map(({ reason, count }) => ({ name: wordsOf(reason), parts: [count], label: String(count) })),
            partNames: [],
          }),
    ]),
    reasons.length === 0
      ? paragraph("Nothing was rejected.")
      : table(
          ["reason", "step", "records", "what it means", "one of them"],
          reasons.map(({ step, reason, meaning, count, detail }) => [
            wordsOf(reason),
            step,
            String(count),
            meaning,
            detail.slice(0, 160),
          ]),
          "words",
        ),
  ];
}

function costSection({ costByStep, costByModel, spent }: SynthReport): string {
  const row = (name: string, cost: Cost) => [
    name,
    countText(cost.promptTokens),
    countText(cost.answerTokens),
    moneyText(cost.money),
  ];
  const heading = ["", "tokens of prompts", "tokens of answers", "money"];
  return [
    table(heading, [
      ...costByStep.map(({ step, cost }) => row(step, cost)),
      ...costByModel.map(({ model, cost }) => row(`by ${model === "" ? "no model" : model}`, cost)),
      row("all requests", spent),
    ]),
    notes(["The last line counts what failed, too, and what was asked for records that were never made."]),
  ].join("\n");
}

function compositionSection(report: SynthReport): string[] {
  const { domains, languages, difficulties, variants, instructionLengths, answerLengths } = report;
  return [
    plots([
      sharesPlot("Domains", domains),
      sharesPlot("Languages", languages),
      lengthsPlot("Length of instructions", instructionLengths),
      lengthsPlot("Length of answers", answerLengths),
    ]),
    shareTable("domain", domains),
    shareTable("language", languages),
    shareTable("difficulty", difficulties),
    shareTable("variant", variants.slice(0, 16)),
  ];
}

const totalOf = (rows: readonly ShareRow[], what: "made" | "kept" | "keptFromSeeds"): number =>
  Math.max(
    1,
    rows.reduce((sum, row) => sum + row[what], 0),
  );

const mostBars = 12;
const mostRows = 30;

/** Each with its share of what is kept; where there are targets, of what is kept from seeds, with the target below. */
function sharesPlot(title: string, rows: readonly ShareRow[]): string {
  const hasTargets = rows.some(({ target }) => target !== null);
  const what = hasTargets ? "keptFromSeeds" : "kept";
  const total = totalOf(rows, what);
  const shown = rows.filter((row) => row[what] > 0 || row.target !== null).slice(0, mostBars);
  const bars = shown.flatMap(({ name, target, ...row }) => [
    { name, parts: [row[what] / total], label: percentText(row[what] / total) },
    ...(target === null ? [] : [{ name: "target", parts: [0, target], label: percentText(target) }]),
  ]);
  if (bars.length === 0) return "";
  const of = hasTargets ? "share of what is kept from seeds" : "share of what is kept";
  return barsSvg({ title: `${title}: ${of}`, bars, partNames: hasTargets ? ["kept", "target"] : [] });
}

function shareTable(what: string, rows: readonly ShareRow[]): string {
  if (rows.length === 0) return "";
  const [made, kept, keptFromSeeds] = (["made", "kept", "keptFromSeeds"] as const).map((one) => totalOf(rows, one));
  return table(
    [what, "made", "share", "kept", "share", "kept from seeds", "share", "target", "kept of made"],
    rows
      .slice(0, mostRows)
      .map((row) => [
        ...[row.name, String(row.made), percentText(row.made / made!), String(row.kept), percentText(row.kept / kept!)],
        ...[String(row.keptFromSeeds), percentText(row.keptFromSeeds / keptFromSeeds!)],
        ...[row.target === null ? "" : percentText(row.target), shareText(row.kept, row.made)],
      ]),
  );
}

function lengthsPlot(title: string, bins: readonly LengthBin[]): string {
  if (bins.length === 0) return "";
  const bars = bins.map(({ from, kept, other }) => ({
    name: `${from}–${2 * from - 1}`,
    parts: [kept, other],
    label: String(kept + other),
  }));
  return barsSvg({ title: `${title}, in characters`, bars, partNames: ["kept", "not kept"] });
}

function diversitySection({ diversity }: SynthReport): string[] {
  const sets = [
    ["made", diversity.made],
    ["kept", diversity.kept],
  ] as const;
  const there = sets.flatMap(([name, set]) => (set === null ? [] : [{ name, set }]));
  if (there.length === 0) return [paragraph("There is nothing to compare.")];
  const gram = (set: DiversityReport, length: number) => set.distinct.find((one) => one.length === length)!;
  return [
    table(
      [
        "instructions",
        "in the sample",
        "distinct words",
        "distinct pairs",
        "distinct triples",
        "spread",
        "spread in clusters",
        "clusters, as even as",
      ],
      there.map(({ name, set }) => [
        ...[name, String(set.texts), ...[1, 2, 3].map((length) => percentText(gram(set, length).share))],
        ...[set.spread.toFixed(3), set.spreadInClusters.toFixed(3), set.effectiveClusters.toFixed(1)],
      ]),
    ),
    notes([
      "Distinct: the share of all words, pairs and triples of the sample that are different ones; characters where a script has no spaces.",
      "Spread: mean cosine distance to the center, of all texts and of their clusters; 0 would be the same text again and again.",
    ]),
    diversity.kept === null
      ? ""
      : table(
          ["cluster of kept instructions", "size", "typical words"],
          diversity.kept.clusters.map(({ example, size, words }) => [example, String(size), words.join(" ")]),
          "words",
        ),
  ];
}

function biasSection({ bias }: SynthReport): string[] {
  if (bias.records === 0) {
    return [
      paragraph(
        "No right answer is known of any record: neither tasks with a verifier nor seeds with an answer were among them.",
      ),
    ];
  }
  const { samples, wrongSamples, unusableSamples, agreement, unanimity, byDomain, byModel, bySamples, critic, kept } =
    bias;
  const usable = samples - unusableSamples;
  return [
    facts([
      ["records whose answer is known", String(bias.records)],
      [
        "samples",
        `${countText(samples)}: ${shareText(unusableSamples, samples)} unusable; of the others ${shareText(wrongSamples, usable)} wrong`,
      ],
      ["most samples agree", agreedText(agreement)],
      ["all samples agree", agreedText(unanimity)],
      ["the critic", criticText(critic)],
      ["kept after all filters", errorText(kept.wrong, kept.records)],
    ]),
    plots([samplesPlot(bySamples), criticPlot(critic), ladderPlot(bias)]),
    table(
      ["domain", "agreed", "of these wrong"],
      byDomain.map(({ domain, ...counts }) => [domain, String(counts.agreed), shareText(counts.wrong, counts.agreed)]),
    ),
    table(
      ["model", "samples", "wrong", "agrees with itself", "of these wrong"],
      byModel.map(({ model, samples: own, wrongSamples: wrong, ...counts }) => [
        ...[model, String(own), shareText(wrong, own), String(counts.agreed), shareText(counts.wrong, counts.agreed)],
      ]),
    ),
    table(
      ["samples", "records with as many", "agreed", "of these wrong"],
      bySamples.map(({ samples: count, records, ...counts }) => [
        ...[String(count), String(records), shareText(counts.agreed, records), shareText(counts.wrong, counts.agreed)],
      ]),
    ),
    critic.every(({ right, wrong }) => right + wrong === 0)
      ? paragraph("No critic judged an answer that is known.")
      : table(
          ["critic's tier", "right answers", "wrong answers"],
          critic.map(({ tier, right, wrong }) => [String(tier), String(right), String(wrong)]),
        ),
    notes([
      "Agreed: more than half of the usable samples, and at least two of them, give the same value. What stays wrong however many samples there are is the bias of the models.",
    ]),
  ];
}

/** What lies in the lower two tiers. */
function criticText(critic: SynthReport["bias"]["critic"]): string {
  const sum = (what: "right" | "wrong", most: number) =>
    critic.filter(({ tier }) => tier <= most).reduce((total, one) => total + one[what], 0);
  if (sum("right", 4) + sum("wrong", 4) === 0) return "judged no answer that is known";
  const [wrong, right] = [shareText(sum("wrong", 2), sum("wrong", 4)), shareText(sum("right", 2), sum("right", 4))];
  return `puts ${wrong} of the wrong answers that it saw into tiers 1 and 2, and ${right} of the right ones`;
}

const agreedText = ({ agreed, wrong }: AgreedCounts): string =>
  `${agreed} records, ${shareText(wrong, agreed)} of them wrong`;

function samplesPlot(bySamples: SynthReport["bias"]["bySamples"]): string {
  const points = (of: (row: (typeof bySamples)[number]) => number) =>
    bySamples.filter(({ agreed }) => agreed > 0).map((row) => ({ x: row.samples, y: of(row) }));
  const wrong = points(({ wrong, agreed }) => (100 * wrong) / agreed);
  if (wrong.length < 2) return "";
  return plotSvg({
    title: "Agreement by number of samples",
    xLabel: "samples",
    yLabel: "%",
    xScale: "linear",
    yScale: "linear",
    xTicks: wrong.map(({ x }) => x),
    series: [
      { name: "agreed and wrong, of agreed", points: wrong },
      { name: "agreed, of all", points: points(({ agreed, records }) => (100 * agreed) / records) },
    ],
  });
}

function criticPlot(critic: SynthReport["bias"]["critic"]): string {
  if (critic.every(({ right, wrong }) => right + wrong === 0)) return "";
  const bars = critic.map(({ tier, right, wrong }) => ({
    name: `tier ${tier}`,
    parts: [right, wrong],
    label: `${shareText(wrong, right + wrong)} wrong`,
  }));
  return barsSvg({ title: "The critic's tiers", bars, partNames: ["right answers", "wrong answers"] });
}

/** What each safeguard leaves of the error. */
function ladderPlot({
  samples,
  unusableSamples,
  wrongSamples,
  agreement,
  unanimity,
  kept,
}: SynthReport["bias"]): string {
  const rungs = [
    { name: "one sample", wrong: wrongSamples, of: samples - unusableSamples },
    { name: "most agree", wrong: agreement.wrong, of: agreement.agreed },
    { name: "all agree", wrong: unanimity.wrong, of: unanimity.agreed },
    { name: "kept", wrong: kept.wrong, of: kept.records },
  ].filter(({ of }) => of > 0);
  const bars = rungs.map(({ name, wrong, of }) => ({ name, parts: [wrong / of], label: percentText(wrong / of, 2) }));
  return barsSvg({ title: "Share of wrong answers", bars, partNames: [] });
}

function examplesSection(title: string, examples: readonly SynthExample[]): string[] {
  if (examples.length === 0) return [];
  return [
    `<h3>${escapeXml(title)}</h3>`,
    ...examples.map(({ instruction, answer, domain, language, seed, models, fate }) => {
      const origin = `${domain}, ${language}; from ${seed}; by ${models.filter(Boolean).join(", ") || "no model"}`;
      const end = fate
        ? `<p><b>${escapeXml(`${fate.step}: ${wordsOf(fate.reason)}`)}</b> ${escapeXml(fate.detail)}</p>`
        : "";
      return `${end}<pre dir="auto"><b>${escapeXml(instruction)}</b>\n\n${escapeXml(answer)}</pre><p class="note">${escapeXml(origin)}</p>`;
    }),
  ];
}
