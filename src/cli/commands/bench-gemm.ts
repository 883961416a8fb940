import type { CommandContext, RookeryEvent } from "../../base/events.ts";
import { type BenchGemmResult, benchGemm, benchGemmSchema, type GemmRow } from "../../bench/gemm.ts";
import type { Measured } from "../../bench/options.ts";
import {
  benchFormat,
  flopsText,
  growingTable,
  millisecondsText,
  ratioText,
  sameBitsExitCode,
  shareText,
  summaryRows,
} from "../bench-text.ts";
import { defineCommand } from "../command.ts";
import { alignColumns } from "../text.ts";

const columns = [28, 4, 14, 20, 20, 11, 9] as const;
const heading = ["M x K x N", "", "rate", "share of peak", "times the peer", "bandwidth", "packing"];

function cells({ shape, work, ...row }: GemmRow): string[] {
  return [
    shape,
    work.computeType,
    flopsText(row.flopsPerSecond.median),
    shareText(row.shareOfPeak),
    row.peerError ? "the peer refused" : ratioText(row.ratioToPeer),
    `${(100 * row.shareOfBandwidth).toFixed(0)}%`,
    row.packingSeconds === null ? "" : millisecondsText(row.packingSeconds),
  ];
}

function describe(result: BenchGemmResult): string[] {
  const { cliffs } = result;
  return [
    ...alignColumns([
      ...summaryRows(result),
      [
        "cliffs",
        cliffs.length === 0
          ? "none under a third of a neighbour"
          : `under a third of a neighbour: ${cliffs.join(", ")}`,
      ],
    ]),
  ];
}

export const command = defineCommand({
  schema: benchGemmSchema,
  examples: [
    { line: "rookery bench gemm", purpose: "every shape of the list in bf16 and f32, against PyTorch" },
    {
      line: "rookery bench gemm --shapes 1024x1024x1024 4096x1024x4096 --compute-types bf16",
      purpose: "two shapes",
    },
    { line: "rookery bench gemm --compute-types f32 --isa avx2", purpose: "both without AMX and AVX-512" },
    { line: "rookery bench gemm --peer jax-js --compute-types f32", purpose: "against WebAssembly" },
  ],
  sharedFormat: benchFormat,
  run: (options, context: CommandContext<RookeryEvent | Measured<GemmRow>>) =>
    benchGemm(options, { ...context, environment: process.env }),
  describe,
  exitCode: (result) => sameBitsExitCode(result),
  showEvents: (display) => {
    const print = growingTable(display, heading, columns);
    return (event: Measured<GemmRow>) => print(cells(event.row));
  },
});
