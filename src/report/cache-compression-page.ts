/** What smaller caches cost, as a page that stands alone. */
import type { CacheCompression, CacheVariant } from "../eval/cache-compression.ts";
import { countText, percentText } from "./figures.ts";
import { facts, htmlPage, notes, paragraph, plots, table } from "./page.ts";
import { escapeXml, plotSvg } from "./plot.ts";

const points = (share: number) => `${share > 0 ? "+" : ""}${(100 * share).toFixed(2)}`;
const nameOf = ({ label, cacheType }: CacheVariant) => `${label}, ${cacheType}`;
const shownPlaces = 8;

export function cacheCompressionPage(result: CacheCompression): string {
  const { variants } = result;
  const [first] = variants as [CacheVariant, ...CacheVariant[]];
  return htmlPage(
    "What smaller caches cost",
    [
      paragraph(`Every figure is beside ${nameOf(first)}, on the same questions and texts.`),
      table(
        ["model, cache", "parameters", "activated", "cache, bytes a token", "share"],
        variants.map((one) => [
          nameOf(one),
          countText(one.totalParameters),
          countText(one.activatedParameters),
          String(one.cacheBytesPerToken),
          percentText(one.cacheShare),
        ]),
      ),
      notes(result.notes),
      "<h2>Task by task</h2>",
      table(
        ["model, cache", "task", "figure", "difference, points", "interval", "lost", "won", "it is"],
        variants.flatMap((one) =>
          one.tasks.map(({ task, primary, metrics }) => {
            const compared = one.differences.find((difference) => difference.task === task);
            const rest = compared
              ? [
                  points(compared.difference),
                  compared.interval.map(points).join(" to "),
                  String(compared.lost),
                  String(compared.won),
                  compared.verdict,
                ]
              : ["", "", "", "", ""];
            return [nameOf(one), task, percentText(metrics[primary]!.value), ...rest];
          }),
        ),
      ),
      ...partTables(variants),
      "<h2>Position by position</h2>",
      plots(
        first.texts.map(({ domain }) =>
          plotSvg({
            title: `${domain}: bits a byte by position`,
            xLabel: "tokens before",
            yLabel: "bits a byte",
            yScale: "linear",
            series: variants.map((one) => ({
              name: nameOf(one),
              isDashed: one.cacheType !== first.cacheType,
              points: (one.texts.find((text) => text.domain === domain)?.positions ?? []).map(
                ({ from, bitsPerByte }) => {
                  return { x: from, y: bitsPerByte };
                },
              ),
            })),
          }),
        ),
      ),
      "<h2>The worst cases</h2>",
      ...variants.slice(1).flatMap(worstSection),
    ],
    result,
  );
}

/** Subjects, or lengths: whatever a task has as parts. */
function partTables(variants: readonly CacheVariant[]): string[] {
  return variants[0]!.tasks.flatMap(({ task, primary, parts }) =>
    parts.length === 0
      ? []
      : [
          `<h3>${escapeXml(task)}</h3>`,
          table(
            ["model, cache", ...parts.map(({ name }) => name)],
            variants.map((one) => [
              nameOf(one),
              ...(one.tasks.find((other) => other.task === task)?.parts ?? []).map(({ metrics }) =>
                percentText(metrics[primary]!.value),
              ),
            ]),
          ),
        ],
  );
}

function worstSection(one: CacheVariant): string[] {
  return [
    `<h3>${escapeXml(nameOf(one))}</h3>`,
    table(
      ["text", "tokens before", "bits a byte", "more"],
      one.positions
        .slice(0, shownPlaces)
        .map(({ domain, from, to, bitsPerByte, more }) => [
          domain,
          `${from} to ${to - 1}`,
          bitsPerByte.toFixed(4),
          `${more > 0 ? "+" : ""}${more.toFixed(4)}`,
        ]),
    ),
    ...one.worst.map(
      ({ task, item, question, reference, answerA, answerB }) =>
        `<details><summary>${escapeXml(`lost: ${task} ${item}`)}</summary><pre dir="auto">${escapeXml(question)}</pre>${facts(
          [
            ["first", answerA],
            ["here", answerB],
            ["right", reference],
          ],
        )}</details>`,
    ),
  ];
}
