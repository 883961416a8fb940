/** An evaluation as a page that stands alone: tasks with their errors, subjects, texts by domain and position. */
import type { Estimate } from "../eval/statistics.ts";
import type { EvalSummary, PartFigures, TaskFigures } from "../eval/summary.ts";
import { barsSvg } from "./bars.ts";
import { countText, percentText } from "./figures.ts";
import { facts, htmlPage, notes, paragraph, plots, table } from "./page.ts";
import { plotSvg } from "./plot.ts";

const estimateText = ({ value, standardError }: Estimate) =>
  `${percentText(value, 2)} ±${percentText(standardError, 2)}`;

export function evalPage(summary: EvalSummary, version: string): string {
  const { model, tasks, texts, options, cachedShare, seconds } = summary;
  const cache = model.cache ? `${model.cache.type}, ${model.cache.bytesPerToken} bytes a token` : "the server's";
  return htmlPage(
    `Evaluation ${summary.name}`,
    [
      facts([
        ["model", model.name],
        ["reads", `${countText(model.maxLength)} tokens`],
        ["cache", cache],
        ["asked", options.chat ? "in a chat, where answers are written" : "in plain text"],
        ["seed", String(options.seed)],
        ...(options.limit === null ? [] : [["limit", `the first ${options.limit} of each subject`] as const]),
        ...(options.judge === null ? [] : [["judge", options.judge] as const]),
        ...(cachedShare === null ? [] : [["from cached prefixes", percentText(cachedShare, 0)] as const]),
        ["took", `${Math.round(seconds)} s`],
        ["Rookery", version],
      ]),
      ...(tasks.length === 0 ? [] : taskSection(tasks)),
      ...tasks.flatMap(partSection),
      ...textSection(texts),
    ],
    summary,
  );
}

function taskSection(tasks: readonly TaskFigures[]): string[] {
  const bars = tasks.map(({ task, primary, metrics }) => {
    const { value } = metrics[primary]!;
    return { name: task, parts: [value], label: percentText(value) };
  });
  return [
    "<h2>Tasks</h2>",
    plots([barsSvg({ title: "The usual figure of each task", bars, partNames: [] })]),
    table(
      ["task", "questions", "shots", "figure", "value ± standard error", "not asked", "cut", "ran out of tokens"],
      tasks.flatMap((one) =>
        Object.entries(one.metrics).map(([name, estimate], index) => [
          ...(index === 0 ? [one.title, String(one.count), String(one.shots)] : ["", "", ""]),
          name,
          estimateText(estimate),
          ...(index === 0 ? [String(one.failed), String(one.cut), String(one.unfinished)] : ["", "", ""]),
        ]),
      ),
    ),
    notes([
      "A standard error is of the mean over questions: about two of them on either side hold 95%. Questions that could not be asked are in no figure.",
    ]),
  ];
}

function partSection({ title, primary, groups, parts }: TaskFigures): string[] {
  if (parts.length === 0) return [];
  const rows = (list: readonly PartFigures[]) =>
    list.map(({ name, count, metrics }) => [name, String(count), estimateText(metrics[primary]!)]);
  const sorted = parts.toSorted((a, b) => b.metrics[primary]!.value - a.metrics[primary]!.value);
  return [
    `<h2>${title.replace(/[<>&]/g, "")}</h2>`,
    ...(groups.length > 0 ? [table(["group", "questions", primary], rows(groups))] : []),
    table(["subject", "questions", primary], rows(sorted)),
  ];
}

function textSection(texts: EvalSummary["texts"]): string[] {
  if (texts.length === 0) return [];
  return [
    "<h2>Texts</h2>",
    paragraph("Bits per byte compare models whatever their tokenizers; perplexity a token does not."),
    table(
      ["domain", "documents", "tokens", "bytes", "bits a byte", "perplexity a token"],
      texts.map((one) => [
        one.domain,
        String(one.documents),
        countText(one.tokens),
        countText(one.bytes),
        one.bitsPerByte.toFixed(4),
        one.perplexity.toFixed(3),
      ]),
    ),
    plots([
      plotSvg({
        title: "Bits a byte by position in the context",
        xLabel: "tokens before",
        yLabel: "bits a byte",
        yScale: "linear",
        series: texts.map(({ domain, positions }) => ({
          name: domain,
          points: positions.map(({ from, bitsPerByte }) => ({ x: from, y: bitsPerByte })),
        })),
      }),
    ]),
  ];
}
