import path from "node:path";
import { writeFileAtomic } from "../../base/files.ts";
import { rookeryVersion } from "../../base/version.ts";
import { evalRunOptionsSchema } from "../../eval/options.ts";
import { evaluate } from "../../eval/run.ts";
import type { Estimate } from "../../eval/statistics.ts";
import type { EvalSummary, PartFigures } from "../../eval/summary.ts";
import { evalPage } from "../../report/eval-page.ts";
import { defineCommand } from "../command.ts";
import { runsFolderOption } from "../model.ts";
import { alignColumns, shortNumber } from "../text.ts";

const schema = evalRunOptionsSchema.extend({ runsFolder: runsFolderOption });

type EvalResult = EvalSummary & { page: string };

const percent = ({ value, standardError }: Estimate) =>
  `${(100 * value).toFixed(2)}% ±${(100 * standardError).toFixed(2)}`;
const metricsOf = ({ metrics }: Pick<PartFigures, "metrics">) =>
  Object.entries(metrics).map(([name, estimate]) => `${name} ${percent(estimate)}`);

export const command = defineCommand({
  schema,
  positionals: ["model"],
  examples: [
    {
      line: "rookery eval run my-run --tasks mmlu,hellaswag --data sets",
      purpose: "two benchmarks, from sets/mmlu and sets/hellaswag",
    },
    {
      line: "rookery eval run http://127.0.0.1:8080 --tasks gsm8k --download --limit 100 --name first",
      purpose: "a server's model, the data from the hub",
    },
    {
      line: "rookery eval run my-run --tasks mine.yaml --texts books=held-out/*.txt",
      purpose: "own questions, own texts",
    },
    {
      line: "rookery eval run my-run --tasks families --mode chat --name first --resume",
      purpose: "go on after a stop",
    },
  ],
  async run({ runsFolder, ...options }, context, { environment }): Promise<EvalResult> {
    const apiKey = environment.ROOKERY_API_KEY;
    const keys = { apiKey, judgeApiKey: environment.ROOKERY_JUDGE_API_KEY ?? apiKey };
    const summary = await evaluate(options, { runsFolder, ...keys }, context);
    const page = path.join(summary.folder, "report.html");
    writeFileAtomic(page, evalPage(summary, rookeryVersion));
    return { ...summary, page };
  },
  describe({ page, tasks, texts, cachedShare }) {
    return [
      ...alignColumns(
        tasks.flatMap((one) => [
          [one.task, `${one.count} questions, ${one.shots} shots`, ...metricsOf(one)],
          ...one.groups.map((group) => [`  ${group.name}`, `${group.count} questions`, ...metricsOf(group)]),
        ]),
      ),
      ...tasks.flatMap(({ task, failed, cut, unfinished }) => [
        ...(failed > 0 ? [`note: ${task}: ${failed} questions could not be asked and are in no figure`] : []),
        ...(cut > 0 ? [`note: ${task}: ${cut} prompts were longer than the model reads and lost their beginning`] : []),
        ...(unfinished > 0 ? [`note: ${task}: ${unfinished} answers ran out of tokens`] : []),
      ]),
      ...alignColumns(
        texts.map(({ domain, bitsPerByte, perplexity, tokens, documents }) => [
          domain,
          `${bitsPerByte.toFixed(4)} bits a byte`,
          `perplexity ${shortNumber(perplexity)} a token`,
          `${shortNumber(tokens)} tokens of ${documents} documents`,
        ]),
      ),
      ...(cachedShare === null
        ? []
        : [`${(100 * cachedShare).toFixed(0)}% of the prompts' tokens came from cached prefixes`]),
      page,
    ];
  },
});
