import { z } from "zod";
import { type DataReport, inspectData } from "../../data/inspect.ts";
import { dataOptionsSchema } from "../../data/options.ts";
import { Tokenizer } from "../../text/tokenizer.ts";
import { defineCommand } from "../command.ts";
import { alignColumns, shortNumber } from "../text.ts";

const schema = dataOptionsSchema.extend({
  tokenizer: z
    .string()
    .min(1)
    .optional()
    .describe("a folder with a tokenizer.json; tokens are counted with it")
    .meta({ valueName: "FOLDER" }),
});

export const command = defineCommand({
  schema,
  positionals: ["data"],
  examples: [
    { line: "rookery data inspect texts/ 'more/*.jsonl.gz'", purpose: "documents, duplicates and what was filtered" },
    { line: "rookery data inspect starter --json", purpose: "the built-in texts, as one JSON object" },
    {
      line: "rookery data inspect book.txt --strict --set filters.minCharacters=100",
      purpose: "stop at the first line that cannot be used; drop short documents",
    },
  ],
  async run({ tokenizer, ...data }, context) {
    const encoder = tokenizer === undefined ? undefined : await Tokenizer.load(tokenizer);
    return await inspectData({ data, encoder }, context);
  },
  describe: (report) => [
    ...alignColumns(
      [
        ["source", "files", "documents", "characters", "for training", "held out", "dropped", "skipped"],
        ...report.sources.map((source) => sourceRow(source.name, source.files, source.read, source)),
        ...(report.sources.length > 1 ? [totalRow(report)] : []),
      ],
      { numbersFrom: 1 },
    ),
    ...countLine("dropped", report.dropped),
    ...countLine("skipped", report.problems),
    ...(report.tokens === undefined ? [] : [tokenLine(report.tokens, report.charactersPerToken)]),
  ],
});

type Counts = Partial<Record<string, number>>;
type Amount = { documents: number; characters: number };

function sourceRow(
  name: string,
  files: number,
  read: Amount,
  rest: { train: Amount; heldOut: Amount; dropped: Counts; problems: Counts },
): string[] {
  const numbers = [files, read.documents, read.characters, rest.train.characters, rest.heldOut.characters];
  return [name, ...[...numbers, sum(rest.dropped), sum(rest.problems)].map(shortNumber)];
}

function totalRow(report: DataReport): string[] {
  const files = report.sources.reduce((total, source) => total + source.files, 0);
  return sourceRow("all", files, report, report);
}

function countLine(title: string, counts: Counts): string[] {
  const parts = Object.entries(counts).map(([reason, count]) => `${reason} ${shortNumber(count ?? 0)}`);
  return parts.length === 0 ? [] : [`${title}: ${parts.join(", ")}`];
}

function tokenLine(tokens: number, charactersPerToken: number | undefined): string {
  const ratio = charactersPerToken === undefined ? "" : `, ${charactersPerToken.toFixed(2)} characters a token`;
  return `${shortNumber(tokens)} tokens${ratio}`;
}

function sum(counts: Counts): number {
  return Object.values(counts).reduce<number>((total, count) => total + (count ?? 0), 0);
}
