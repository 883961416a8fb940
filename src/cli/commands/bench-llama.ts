import type { CommandContext, RookeryEvent } from "../../base/events.ts";
import { type BenchLlamaResult, benchLlama, benchLlamaSchema, type LlamaRow } from "../../bench/llama.ts";
import type { Measured } from "../../bench/options.ts";
import {
  bandwidthText,
  benchFormat,
  bytesText,
  growingTable,
  ratioText,
  shareText,
  tokensText,
} from "../bench-text.ts";
import { defineCommand } from "../command.ts";
import { alignColumns, shortNumber } from "../text.ts";

const columns = [8, 7, 34, 34, 20] as const;
const heading = ["", "tokens", "ours", "peer", "times the peer"];

function cells({ part, tokens, tokensPerSecond: { ours, peer }, ratioToPeer }: LlamaRow): string[] {
  return [part, String(tokens), tokensText(ours), peer ? tokensText(peer) : "-", ratioText(ratioToPeer)];
}

function describe(result: BenchLlamaResult): string[] {
  const { parameters, peer, peakMemoryBytes, decodeShareOfBandwidth: share } = result;
  return alignColumns([
    [
      "model",
      `${result.model} in ${result.type}: ${shortNumber(parameters.total)} parameters, ${shortNumber(parameters.activated)} activated`,
    ],
    ["ours", `level ${result.level}, ${result.threads} threads`],
    ["peer", "missing" in peer ? peer.missing : `${peer.name} ${peer.version}`],
    ["memory reads", bandwidthText(result.bytesPerSecond.median)],
    ...(share ? [["one stream", `${shareText(share)} of that`]] : []),
    ["peak memory", `${bytesText(peakMemoryBytes.ours)}, the peer ${bytesText(peakMemoryBytes.peer)}`],
  ]);
}

export const command = defineCommand({
  schema: benchLlamaSchema,
  positionals: ["model"],
  examples: [
    { line: "rookery bench llama", purpose: "a mixture of 0.97B random parameters in bf16, beside llama.cpp" },
    { line: "rookery bench llama my-run --type f32 --rounds 5", purpose: "a model of one's own" },
    {
      line: "rookery bench llama --loads one --folder /tmp/bench-1b",
      purpose: "one stream alone, and the weights are kept for the next time",
    },
  ],
  sharedFormat: benchFormat,
  run: (options, context: CommandContext<RookeryEvent | Measured<LlamaRow>>) =>
    benchLlama(options, { ...context, environment: process.env }),
  describe,
  showEvents: (display) => {
    const print = growingTable(display, heading, columns);
    return (event: Measured<LlamaRow>) => print(cells(event.row));
  },
});
