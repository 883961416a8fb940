import path from "node:path";
import { writeFileAtomic } from "../../base/files.ts";
import { type CacheCompression, cacheCompressionOptionsSchema, compareCaches } from "../../eval/cache-compression.ts";
import { cacheCompressionPage } from "../../report/cache-compression-page.ts";
import { defineCommand } from "../command.ts";
import { runsFolderOption } from "../model.ts";
import { alignColumns, printable, shortNumber } from "../text.ts";

const schema = cacheCompressionOptionsSchema.extend({ runsFolder: runsFolderOption });

const points = (share: number) => `${share > 0 ? "+" : ""}${(100 * share).toFixed(2)}`;

export const command = defineCommand({
  schema,
  positionals: ["models"],
  examples: [
    {
      line: "rookery eval cache-compression MHA=mha GQA=gqa CLA=cla GQA+CLA=both --tasks recall.yaml --texts held-out.txt",
      purpose: "four runs, each with its cache as computed and in 8 bits",
    },
  ],
  async run({ runsFolder, ...options }, context): Promise<CacheCompression & { page: string }> {
    const result = await compareCaches(options, { runsFolder }, context);
    const page = path.join(result.folder, "report.html");
    writeFileAtomic(page, cacheCompressionPage(result));
    return { ...result, page };
  },
  describe({ variants, notes, page }) {
    const [first] = variants;
    return [
      ...alignColumns(
        [
          [
            "",
            "cache",
            "parameters",
            "bytes a token",
            "share",
            ...first!.tasks.map(({ task }) => task),
            ...first!.texts.map(({ domain }) => `${domain}, bits a byte`),
          ],
          ...variants.map((one) => [
            one.label,
            one.cacheType,
            shortNumber(one.totalParameters),
            String(one.cacheBytesPerToken),
            `${(100 * one.cacheShare).toFixed(1)}%`,
            ...one.tasks.map(({ primary, metrics }) => `${(100 * metrics[primary]!.value).toFixed(1)}%`),
            ...one.texts.map(({ bitsPerByte }) => bitsPerByte.toFixed(4)),
          ]),
        ],
        { numbersFrom: 2 },
      ),
      ...variants.flatMap(({ label, cacheType, differences, positions, worst }) => [
        ...differences.map(
          ({ task, difference, interval, verdict, lost, won }) =>
            `${label} ${cacheType}, ${task}: ${points(difference)} points (${interval.map(points).join(" to ")}), ${lost} lost and ${won} won: ${verdict}`,
        ),
        ...positions
          .slice(0, 1)
          .map(
            ({ domain, from, to, more }) =>
              `${label} ${cacheType}, worst place: ${domain} at ${from} to ${to - 1} tokens, ${points(more / 100)} bits a byte`,
          ),
        ...worst
          .slice(0, 1)
          .map(
            ({ task, item, answerA, answerB }) =>
              `${label} ${cacheType}, lost: ${task} ${item}, ${printable(answerA)} → ${printable(answerB)}`,
          ),
      ]),
      ...notes.map((note) => `note: ${note}`),
      page,
    ];
  },
});
