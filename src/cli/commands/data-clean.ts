import { type CleanResult, clean, cleanOptionsSchema } from "../../align/clean.ts";
import { defineCommand } from "../command.ts";

export const command = defineCommand({
  schema: cleanOptionsSchema,
  positionals: ["data"],
  examples: [
    { line: "rookery data clean chats.jsonl --out clean.jsonl", purpose: "by rules alone" },
    {
      line: "rookery data clean chats.parquet --out clean.jsonl --critique http://127.0.0.1:8080 --review doubtful.jsonl",
      purpose: "a model scores what keeps the rules; what it doubts waits for `rookery review`",
    },
  ],
  run: (options, context, { environment }) => clean(options, { ...context, apiKey: environment.ROOKERY_API_KEY }),
  describe: ({ out, read, kept, rejected, review, tiers }: CleanResult) => [
    `${kept} of ${read} records kept, in ${out}`,
    ...countLine("left out", rejected),
    ...countLine("for review", review),
    ...countLine("by the critic's tier", tiers),
  ],
});

function countLine(title: string, counts: Record<string, number>): string[] {
  const parts = Object.entries(counts).map(([reason, count]) => `${count} ${reason}`);
  return parts.length === 0 ? [] : [`${title}: ${parts.join(", ")}`];
}
