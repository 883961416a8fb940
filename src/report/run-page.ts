/** A training run as a page that stands alone; all that its plots show is in the page as JSON, too. */
import { heatMapSvg } from "./bars.ts";
import { bytesText, costText, countText, daysText } from "./figures.ts";
import { facts, htmlPage, notes, paragraph, plots, table } from "./page.ts";
import { escapeXml, plotSvg, type Series } from "./plot.ts";
import type { RunColumn, RunData } from "./run-data.ts";

export type RunReport = RunData & {
  /** Texts of the finished model; empty without one. */
  samples: { prompt: string; text: string }[];
  cost: { pricePerHour: number; total: number } | null;
};

export function runPage(report: RunReport, rookeryVersion: string): string {
  return htmlPage(
    `Run ${report.name}`,
    [
      paragraph(`Trained by Rookery ${report.trainedBy}; this report by ${rookeryVersion}.`),
      summary(report),
      "<h2>Curves</h2>",
      plots([lossPlot(report), ...columnPlots(report)]),
      ...measurementSection(report),
      ...loadSection(report),
      "<h2>Schedule</h2>",
      plots([schedulePlot(report)]),
      ...dataSection(report),
      ...samplesSection(report),
      "<h2>Settings</h2>",
      settings(report),
    ],
    { format: "rookery-report/1", rookeryVersion, ...report },
  );
}

function option({ options }: RunData, name: string): string {
  const value = options[name];
  return ["string", "number", "boolean"].includes(typeof value) ? String(value) : "not stated";
}

/** What the run measured last on what it did not train on. */
export function heldOutText({ evaluations, measurements }: Pick<RunData, "evaluations" | "measurements">): string {
  const last = evaluations.at(-1);
  if (last) return `${last.crossEntropy.toFixed(4)} nats a token, ${last.bitsPerByte.toFixed(4)} bits a byte`;
  const { heldOutCrossEntropy, heldOutLoss } = measurements.at(-1)?.figures ?? {};
  if (heldOutCrossEntropy !== undefined) return `${heldOutCrossEntropy.toFixed(4)} nats a token`;
  return heldOutLoss === undefined ? "not measured" : `${heldOutLoss.toFixed(4)} nats a pair`;
}

function summary(report: RunReport): string {
  return facts([
    [
      "steps",
      `${report.steps}${report.totalSteps === null ? "" : ` of ${report.totalSteps}`}, ${report.skippedSteps} skipped`,
    ],
    ...(report.stages.length > 1
      ? [["stages", report.stages.map(({ name, lastStep }) => `${name} to step ${lastStep}`).join(", ")] as const]
      : []),
    ["tokens", countText(report.tokens)],
    ["held-out loss", heldOutText(report)],
    [
      "time in steps",
      `${daysText(report.seconds / 86_400)}, ${countText(report.tokens / Math.max(report.seconds, 1e-9))} tokens a second`,
    ],
    ["cost", report.cost ? `${costText(report.cost.total)} at ${report.cost.pricePerHour} an hour` : "no price given"],
    ["memory", report.peakMemoryBytes === null ? "not measured" : bytesText(report.peakMemoryBytes)],
    [
      "environment",
      `${option(report, "threads")} ${report.options.threads === 1 ? "thread" : "threads"}, ${option(report, "computeType")}, seed ${option(report, "seed")}`,
    ],
  ]);
}

/** Points of a column, where it is finite (and above 0, for a logarithmic axis). */
function pointsOf({ rows }: RunData, column: RunColumn, least = Number.NEGATIVE_INFINITY) {
  return rows.flatMap(({ step, values }) => {
    const y = values[column];
    return y !== null && Number.isFinite(y) && y > least ? [{ x: step, y }] : [];
  });
}

function linePlot(
  title: string,
  yLabel: string,
  series: readonly Series[],
  yScale: "linear" | "log" = "linear",
): string {
  const drawn = series.filter(({ points }) => points.length > 0);
  if (drawn.length === 0) return "";
  return plotSvg({ title, xLabel: "step", yLabel, xScale: "linear", yScale, series: drawn });
}

function lossPlot(report: RunReport): string {
  const heldOut = report.evaluations.map(({ step, crossEntropy }) => ({ x: step, y: crossEntropy }));
  // of preferences it is a sum of terms, each of its own unit
  const unit = ["train", "sft"].includes(report.command) ? "nats a token" : "nats";
  return linePlot("Loss", unit, [
    { name: "training", kind: "curve", points: pointsOf(report, "loss") },
    { name: "held out", kind: "line", points: heldOut },
  ]);
}

/** What a stage of alignment measured: the judge's reward beside the right answers that it never saw, which must not part. */
function measurementSection({ measurements }: RunReport): string[] {
  if (measurements.length === 0) return [];
  const line = (name: string, figure: string, change = (value: number) => value): Series => {
    const points = measurements.flatMap(({ step, figures: { [figure]: value } }) =>
      value === undefined ? [] : [{ x: step, y: change(value) }],
    );
    return { name, points };
  };
  const start = measurements[0]!.figures.sampledReward ?? 0;
  return [
    "<h2>Measured beside</h2>",
    plots([
      linePlot("Reward and right answers", "share", [
        line("right answers", "examExactMatch"),
        line("reward: σ of its rise", "sampledReward", (reward) => 1 / (1 + Math.exp(start - reward))),
      ]),
      linePlot("Held-out pairs", "share", [line("ranked rightly", "heldOutAccuracy")]),
      linePlot("Divergence from the reference", "nats an answer", [line("KL", "divergence")]),
      linePlot("Length of answers", "tokens", [line("sampled answers", "sampledTokens")]),
      linePlot("Held-out loss", "nats", [line("of pairs", "heldOutLoss"), line("a token", "heldOutCrossEntropy")]),
    ]),
  ];
}

function columnPlots(report: RunReport): string[] {
  const curve = (name: string, column: RunColumn, least?: number): Series => {
    return { name, kind: "curve", points: pointsOf(report, column, least) };
  };
  return [
    linePlot("Gradient norm", "norm", [curve("before clipping", "gradientNorm", 0)], "log"),
    linePlot("Speed", "tokens a second", [curve("tokens a second", "tokensPerSecond")]),
    linePlot("Tokens over capacity", "share of slots", [
      curve("recycled", "recycledShare"),
      curve("dropped", "droppedShare"),
    ]),
  ];
}

function schedulePlot(report: RunReport): string {
  return linePlot("Learning rates", "rate", [
    { name: "dense parameters", kind: "curve", points: pointsOf(report, "learningRate") },
    { name: "specialised experts", kind: "curve", points: pointsOf(report, "expertLearningRate") },
  ]);
}

const mostColumns = 96;

function loadSection({ rows }: RunReport): string[] {
  const layers = rows.at(-1)!.loads;
  if (layers.length === 0) return [];
  const stride = Math.ceil(rows.length / mostColumns);
  const shown = rows.filter((_, index) => index % stride === 0);
  const maps = layers.map((experts, layer) =>
    heatMapSvg({
      ...{ title: `Layer ${layer + 1}`, xLabel: "step", yLabel: "expert" },
      xEnds: [String(shown[0]!.step), String(shown.at(-1)!.step)],
      rows: experts.map((_, expert) => ({
        name: String(expert),
        cells: shown.map(({ loads }) => loads[layer]?.[expert] ?? null),
      })),
    }),
  );
  return [
    "<h2>Load of the experts</h2>",
    paragraph("Tokens that chose each expert, over an even share, before capacity: blue gets fewer, red more."),
    plots(maps),
  ];
}

function dataSection({ sources, options, command, isFinished }: RunReport): string[] {
  const given = ["data", "mixture", "annealingMixture"].flatMap((name) => {
    const value = options[name];
    return value === undefined || value === null ? [] : [[name, JSON.stringify(value)] as const];
  });
  if (sources.length === 0 && given.length === 0) return [];
  const total = sources.reduce((sum, { tokens }) => sum + Number(tokens), 0);
  return [
    "<h2>Data</h2>",
    sources.length === 0
      ? notes(
          command === "train" && !isFinished
            ? ["the sources stand in the model's card, which this run does not have yet"]
            : [],
        )
      : table(
          ["source", "license", "tokens", "share", "documents"],
          sources.map(({ name, license, tokens, documents }) => [
            name,
            license,
            tokens,
            total > 0 ? `${((100 * Number(tokens)) / total).toFixed(1)}%` : "",
            documents,
          ]),
        ),
    given.length > 0 ? facts(given) : "",
  ];
}

function samplesSection({ samples }: RunReport): string[] {
  if (samples.length === 0) return [];
  return [
    "<h2>Samples</h2>",
    ...samples.map(({ prompt, text }) => `<pre><b>${escapeXml(prompt)}</b>${escapeXml(text)}</pre>`),
  ];
}

function settings({ options }: RunReport): string {
  const shown = Object.entries(options).filter(([, value]) => value !== undefined);
  return facts(shown.map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]));
}
