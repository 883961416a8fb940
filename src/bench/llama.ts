/** `rookery bench llama`: the same weights in llama.cpp and here, read and written by one stream and by many. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { exportGguf, ggufTypes } from "../interop/gguf/export.ts";
import { readModelDirectory } from "../interop/model-directory.ts";
import { resolveModel } from "../interop/resolve.ts";
import { account } from "../model/accounting.ts";
import { type PresetName, presets } from "../model/presets.ts";
import { Contest, choosePeer, PeakMeter, takeTurns } from "./contest.ts";
import { type BenchContext, commonBenchOptions } from "./options.ts";
import { type GenerateWork, generateLoads } from "./protocol.ts";
import { writeRandomModel } from "./random-model.ts";
import { ratiosToPeer, type Spread, spreadOf } from "./statistics.ts";

export const benchLlamaSchema = z.strictObject({
  model: z
    .string()
    .min(1)
    .default("bench-1b")
    .describe("a preset, which gets random weights, a run, or a model directory")
    .meta({ valueName: "MODEL", examples: Object.keys(presets) }),
  type: z.enum(ggufTypes).default("bf16").describe("what llama.cpp gets the matrices as"),
  quantized: z
    .string()
    .min(1)
    .optional()
    .describe("for --type q8_0: the same model with weights of 8 bits, as `rookery quantize` makes it, for us")
    .meta({ valueName: "FOLDER" }),
  loads: z
    .array(z.enum(generateLoads))
    .min(1)
    .default([...generateLoads])
    .describe("one: a long prompt is read and an answer written; many: short prompts, answers at once"),
  promptTokens: z.int().min(2).max(1_000_000).default(2048).describe("length of the long prompt"),
  answerTokens: z.int().min(1).max(100_000).default(64).describe("tokens that are written and timed"),
  streams: z.int().min(1).max(256).default(16).describe("how many are written at once"),
  folder: z
    .string()
    .min(1)
    .optional()
    .describe("keeps the weights of a preset and the GGUF here and uses them again; by default they are made anew")
    .meta({ valueName: "FOLDER" }),
  peer: z
    .string()
    .min(1)
    .default("llama")
    .describe("llama, none, or the path of a program that speaks the protocol of bench/peers")
    .meta({ valueName: "PEER" }),
  rounds: z.int().min(1).max(1000).default(3).describe("rounds, each ours and the peer's turn"),
  ...commonBenchOptions,
});

export type BenchLlamaOptions = z.output<typeof benchLlamaSchema>;

/** Tokens a second of a part: reading the prompt, writing with one stream, and all streams together. */
export type LlamaRow = {
  part: "prefill" | "decode" | "streams";
  tokens: number;
  tokensPerSecond: { ours: Spread; peer: Spread | null };
  ratioToPeer: Spread | null;
};

export type BenchLlamaResult = {
  bench: "llama";
  model: string;
  type: string;
  parameters: { total: number; activated: number };
  threads: number;
  level: string;
  peer: { name: string; version: string } | { missing: string };
  rows: LlamaRow[];
  /** Bytes of weights that one stream reads a token, by the time that takes, as a share of the rate of a plain read. */
  decodeShareOfBandwidth: Spread | null;
  bytesPerSecond: Spread;
  peakMemoryBytes: { ours: number | null; peer: number | null };
};

/**
 * Measures a model.
 * @throws RookeryError INVALID_OPTION, BENCH_FAILED, UNSUPPORTED_MODEL for what llama.cpp cannot run, and as resolving and exporting.
 */
export async function benchLlama(
  options: BenchLlamaOptions,
  context: BenchContext<LlamaRow>,
): Promise<BenchLlamaResult> {
  checkBits(options);
  using files = placeFor(options.folder);
  const directory = modelDirectory(options, files.folder, context);
  const { config } = readModelDirectory(directory);
  const found = choosePeer({ peer: options.peer });
  const gguf = path.join(files.folder, `${options.type}.gguf`);
  if ("program" in found && !existsSync(gguf)) {
    context.onEvent?.({ type: "note", message: `writing ${options.type} for llama.cpp` });
    await exportGguf({ folder: directory, output: gguf, type: options.type, name: options.model }, context);
  }
  const work: GenerateWork = {
    kind: "generate",
    loads: options.loads,
    computeType: options.type === "f32" ? "f32" : "bf16",
    directory: options.quantized ?? directory,
    gguf,
    vocabulary: config.vocabularySize,
    promptTokens: options.promptTokens,
    answerTokens: options.answerTokens,
    streams: options.streams,
  };
  const { parameters } = account(config, options.promptTokens);
  const race = await runRounds(work, options, context);
  const rows = rowsOf(work, race);
  for (const row of rows) context.onEvent?.({ type: "measured", row });
  const bytesPerToken = parameters.activated * bytesPerWeight[options.type];
  const decode = race.ours.flatMap(({ decode: seconds }) => (seconds === undefined ? [] : [seconds]));
  const shares = decode.map((seconds, round) => {
    return (bytesPerToken * work.answerTokens) / seconds / race.bytesPerSecond[round]!;
  });
  return {
    bench: "llama",
    model: options.model,
    type: options.type,
    parameters: { total: parameters.total, activated: parameters.activated },
    threads: options.threads,
    level: race.level,
    peer: race.about,
    rows,
    decodeShareOfBandwidth: shares.length === 0 ? null : spreadOf(shares),
    bytesPerSecond: spreadOf(race.bytesPerSecond),
    peakMemoryBytes: race.peakMemoryBytes,
  };
}

const bytesPerWeight = { f32: 4, f16: 2, bf16: 2, q8_0: 34 / 32 } as const;

/** Both sides read weights of the same width, or the ratio says nothing. */
function checkBits({ type, quantized }: BenchLlamaOptions): void {
  if ((type === "q8_0") === (quantized !== undefined)) return;
  throw new RookeryError(
    "INVALID_OPTION",
    type === "q8_0" ? "--type q8_0 needs --quantized" : `--quantized does not go with --type ${type}`,
    "rookery quantize MODEL --scheme int8 makes what goes with q8_0",
  );
}

/** The folder that was named, or a temporary one that goes at the end. */
function placeFor(folder: string | undefined): Disposable & { folder: string } {
  if (folder !== undefined) return { folder, [Symbol.dispose]: () => {} };
  const temporary = mkdtempSync(path.join(tmpdir(), "rookery-llama-"));
  return { folder: temporary, [Symbol.dispose]: () => rmSync(temporary, { recursive: true, force: true }) };
}

function modelDirectory(
  { model, quantized }: BenchLlamaOptions,
  folder: string,
  { onEvent }: BenchContext<LlamaRow>,
): string {
  const resolved = resolveModel(model, { runsFolder: "runs" });
  if (resolved.kind !== "preset") return resolved.path;
  const directory = path.join(folder, "model");
  if (existsSync(directory)) return directory;
  if (quantized !== undefined) {
    const hint = "give the --folder that the quantized model was made from, or a model directory";
    throw new RookeryError("INVALID_OPTION", `fresh random weights of ${model} are not those of ${quantized}`, hint);
  }
  onEvent?.({ type: "note", message: `writing random weights of ${model}` });
  writeRandomModel(directory, presets[resolved.name satisfies PresetName]);
  return directory;
}

type Race = {
  ours: Record<string, number>[];
  peer: Record<string, number>[] | undefined;
  about: BenchLlamaResult["peer"];
  level: string;
  bytesPerSecond: number[];
  peakMemoryBytes: BenchLlamaResult["peakMemoryBytes"];
};

async function runRounds(
  work: GenerateWork,
  options: BenchLlamaOptions,
  context: BenchContext<LlamaRow>,
): Promise<Race> {
  const contest = new Contest(options, context);
  const found = choosePeer({ peer: options.peer });
  await using stack = new AsyncDisposableStack();
  const meter = new PeakMeter(stack.use((await contest.ours()).contestant));
  const { contestant: ours, level } = await contest.ours();
  stack.use(ours);
  await ours.call("prepare", { work });
  const contestants = [ours];
  let about: BenchLlamaResult["peer"] = { missing: "missing" in found ? found.missing : "" };
  if ("program" in found) {
    const { contestant, version } = await contest.peer(found.program);
    stack.use(contestant);
    await contestant.call("prepare", { work });
    contestants.push(contestant);
    about = { name: found.program.name, version };
  }
  // a turn is one run, however long it takes
  const timings = await takeTurns(contestants, { rounds: options.rounds, seconds: 0 }, async (round) => {
    await meter.measure("bf16", true);
    context.onEvent?.({ type: "progress", what: "rounds", done: round + 1, total: options.rounds, unit: "rounds" });
  });
  const memory = await Promise.all(contestants.map((one) => one.call("memory", {})));
  return {
    ours: timings[0]!,
    peer: timings[1],
    about,
    level,
    bytesPerSecond: meter.bytes,
    peakMemoryBytes: { ours: memory[0]!.peakBytes, peer: memory[1]?.peakBytes ?? null },
  };
}

function rowsOf(work: GenerateWork, { ours, peer }: Race): LlamaRow[] {
  const { promptTokens, answerTokens, streams } = work;
  const tokensOf = { prefill: promptTokens, decode: answerTokens, streams: answerTokens * streams };
  const parts = (["prefill", "decode", "streams"] as const).filter((part) => ours[0]![part] !== undefined);
  return parts.map((part) => {
    const tokens = tokensOf[part];
    const secondsOf = (rounds: Record<string, number>[]) => rounds.map((round) => round[part]!);
    const rates = (rounds: Record<string, number>[]) => spreadOf(secondsOf(rounds).map((seconds) => tokens / seconds));
    return {
      part,
      tokens,
      tokensPerSecond: { ours: rates(ours), peer: peer ? rates(peer) : null },
      ratioToPeer: peer ? spreadOf(ratiosToPeer(secondsOf(ours), secondsOf(peer))) : null,
    };
  });
}
