import type { CommandContext, RookeryEvent } from "../../base/events.ts";
import type { Measured } from "../../bench/options.ts";
import { type BenchTrainResult, benchTrain, benchTrainSchema } from "../../bench/train.ts";
import { nameOfVariant, type PeerVariant } from "../../bench/train-variants.ts";
import {
  benchFormat,
  bitsText,
  bytesText,
  millisecondsText,
  peakText,
  ratioText,
  sameBitsExitCode,
  shareText,
  tokensText,
} from "../bench-text.ts";
import { defineCommand } from "../command.ts";
import { alignColumns, formatBytes, shortNumber } from "../text.ts";

function variantCells(variant: PeerVariant): string[] {
  const { tokensPerSecond, peakBytes, error } = variant;
  const speed = tokensPerSecond === null ? (error ?? "failed") : `${shortNumber(tokensPerSecond)} tokens/s`;
  return [nameOfVariant(variant), speed, peakBytes === null ? "" : formatBytes(peakBytes)];
}

function describe(result: BenchTrainResult): string[] {
  const { peer, tokensPerSecond, peakMemoryBytes, memoryRatio, profile, parameters, work } = result;
  const rows = [
    [
      "model",
      `${shortNumber(parameters.total)} parameters, ${shortNumber(parameters.activated)} activated; ${work.batch} × ${work.sequenceLength} tokens a step, ${(result.flopsPerStep / 1e9).toFixed(1)} GFLOP`,
    ],
    [
      "ours",
      `${tokensText(tokensPerSecond.ours)}, ${work.computeType} at level ${result.level}, ${result.threads} threads`,
    ],
    ...(peer && tokensPerSecond.peer
      ? [[`${peer.name} ${peer.version}`, `${tokensText(tokensPerSecond.peer)}, ${nameOfVariant(peer.fastest)}`]]
      : [["peer", result.peerMissing ?? ""]]),
    ["ratio", ratioText(result.ratioToPeer)],
    ["share of peak", `${shareText(result.shareOfPeak)} of ${peakText(result.peak)}`],
    [
      "peak memory",
      `${bytesText(peakMemoryBytes.ours)}${peer && memoryRatio !== null ? `, ${(100 * memoryRatio).toFixed(0)}% of ${bytesText(peakMemoryBytes.peer)} (${nameOfVariant(peer.leanest)})` : ""}`,
    ],
    ["same bits", bitsText(result.sameBits)],
  ];
  const share = (value: number) => `${(100 * value).toFixed(1)}%`;
  return [
    ...alignColumns(rows),
    "",
    `time of a step: ${millisecondsText(profile.secondsPerStep)}`,
    ...alignColumns(
      [
        ...profile.classes.map((line) => ["", line.name, millisecondsText(line.secondsPerStep), share(line.share), ""]),
        ["by kernel", "", "", "", "calls"],
        ...profile.kernels.map((line) => [
          "",
          line.name,
          millisecondsText(line.secondsPerStep),
          share(line.share),
          line.callsPerStep.toFixed(0),
        ]),
      ],
      { numbersFrom: 2 },
    ),
  ];
}

export const command = defineCommand({
  schema: benchTrainSchema,
  examples: [
    { line: "rookery bench train", purpose: "the baseline shape against every variant of the PyTorch script" },
    {
      line: "rookery bench train --hidden 1024 --ffn 2816 --layers 4 --batch 4 --seq 1024",
      purpose: "a wider model, where products count for more",
    },
    { line: "rookery bench train --isa avx512 --compute-type f32", purpose: "both without AMX" },
    { line: "rookery bench train --peer none --rounds 3", purpose: "ours alone, with the time by kernel" },
  ],
  sharedFormat: benchFormat,
  run: (options, context: CommandContext<RookeryEvent | Measured<PeerVariant>>) =>
    benchTrain(options, { ...context, environment: process.env }),
  describe,
  exitCode: (result) => sameBitsExitCode(result),
  showEvents: (display) => (event: Measured<PeerVariant>) => display.print(variantCells(event.row).join("  ")),
});
