import { randomInt } from "node:crypto";
import { availableParallelism } from "node:os";
import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { type FinishReason, type GenerateOptions, generate } from "../../engine/generate.ts";
import { stopTokenIds } from "../../engine/stop-tokens.ts";
import type { GenerationSettings } from "../../interop/generation-config.ts";
import { loadModel } from "../../interop/load.ts";
import { resolveModel } from "../../interop/resolve.ts";
import { Execution } from "../../tensor/execution.ts";
import { controlText } from "../../text/pattern.ts";
import type { Tokenizer } from "../../text/tokenizer.ts";
import { type CommandIo, defineCommand } from "../command.ts";
import { printable, shortNumber } from "../text.ts";

const largestPromptBytes = 64 * 2 ** 20;

export const sampleSchema = z.strictObject({
  model: z.string().min(1).describe("the name of a run, or a model directory").meta({ valueName: "MODEL" }),
  prompt: z
    .string()
    .default("")
    .describe("the beginning of the text; - reads it from standard input; special tokens may be spelled out")
    .meta({ valueName: "TEXT" }),
  maxTokens: z.int().min(1).default(256).describe("most tokens to add").meta({ valueName: "N" }),
  count: z.int().min(1).max(1000).default(1).describe("how many texts to sample").meta({ valueName: "N" }),
  temperature: z
    .number()
    .min(0)
    .optional()
    .describe(
      "how freely to choose; 0 always takes the likeliest token (by default what the model's makers say, or 0.8)",
    ),
  topK: z
    .int()
    .min(0)
    .optional()
    .describe("choose among this many likeliest tokens; 0 for all (by default what the model's makers say, or all)"),
  topP: z
    .number()
    .gt(0)
    .max(1)
    .optional()
    .describe(
      "choose among the likeliest tokens of this probability (by default what the model's makers say, or 0.95)",
    ),
  minP: z.number().min(0).max(1).default(0).describe("no token less likely than this share of the likeliest"),
  repetitionPenalty: z
    .number()
    .positive()
    .optional()
    .describe("above 1: make tokens that are there already less likely (by default what the model's makers say, or 1)"),
  seed: z.int().min(0).optional().describe("the same seed gives the same text; by default another one each time"),
  computeType: z.enum(["bf16", "f32"]).default("bf16").describe("the type to compute in"),
  threads: z.int().min(1).max(256).optional().describe("threads to compute with; by default one a core"),
});

type SampleOptions = z.output<typeof sampleSchema>;

type Sample = { text: string; tokens: number[]; finishReason: FinishReason };

export type SampleResult = {
  model: string;
  prompt: string;
  promptTokens: number;
  sampling: Pick<GenerateOptions, "temperature" | "topK" | "topP" | "minP" | "repetitionPenalty" | "seed">;
  samples: Sample[];
  /** Time from the start of the first sample to the end of the last, the reading of the prompt included. */
  seconds: number;
  tokensPerSecond: number;
};

export const command = defineCommand({
  schema: sampleSchema,
  positionals: ["model"],
  examples: [
    { line: 'rookery sample my-run --prompt "Call me Ishmael."', purpose: "let the model of a run write on" },
    { line: "rookery sample my-run --count 3 --temperature 0.7 --seed 1", purpose: "three texts, repeatable" },
    { line: "cat story.txt | rookery sample models/nano --prompt - --json", purpose: "from a file, as JSON" },
  ],
  run: sample,
  describe: () => [],
});

export async function sample(options: SampleOptions, context: CommandContext, io: CommandIo): Promise<SampleResult> {
  const { signal, onEvent } = context;
  const { computeType } = options;
  using execution = new Execution({ threads: options.threads ?? availableParallelism(), computeType });
  const loaded = await loadModel(modelFolder(options.model), context, { pool: execution.pool, computeType });
  using model = loaded.model;
  const { tokenizer, generation } = loaded;
  for (const note of loaded.notes) onEvent?.({ type: "note", message: note });
  const prompt = options.prompt === "-" ? await readPrompt(io.stdin) : options.prompt;
  const tokens = await encodePrompt(tokenizer, prompt);
  const sampling = samplingOf(options, generation);

  const samples: Sample[] = [];
  const startMs = performance.now();
  for (let sampleIndex = 0; sampleIndex < options.count; sampleIndex++) {
    const settings = {
      ...sampling,
      sampleIndex,
      maxTokens: options.maxTokens,
      stopTokenIds: stopTokenIds(tokenizer, generation.eosTokenIds),
    };
    if (options.count > 1) io.write(`${sampleIndex > 0 ? "\n" : ""}--- ${sampleIndex + 1} of ${options.count}\n`);
    io.write(printable(prompt));
    const pieces = generate({ execution, model, tokenizer }, tokens, settings, { signal, onEvent });
    try {
      samples.push(await collect(pieces, (text) => io.write(printable(text))));
    } finally {
      io.write("\n");
    }
  }
  const seconds = (performance.now() - startMs) / 1000;
  const written = samples.reduce((sum, one) => sum + one.tokens.length, 0);
  const tokensPerSecond = written / seconds;
  onEvent?.({
    type: "note",
    message: `${written} tokens in ${seconds.toFixed(1)} s, ${shortNumber(tokensPerSecond)} tokens/s, seed ${sampling.seed}`,
  });
  return { model: options.model, prompt, promptTokens: tokens.length, sampling, samples, seconds, tokensPerSecond };
}

function modelFolder(name: string): string {
  const resolved = resolveModel(name, { runsFolder: "runs" });
  if (resolved.kind !== "preset") return resolved.path;
  throw new RookeryError(
    "MODEL_NOT_FOUND",
    `${name} is a preset: a configuration without weights`,
    `train it (rookery train --preset ${name}), then sample from that run`,
  );
}

/** A raw prompt, as a document starts in training. */
async function encodePrompt(tokenizer: Tokenizer, prompt: string): Promise<Int32Array> {
  const ids = await tokenizer.encodeWithSpecials(prompt);
  const start = tokenizer.specialTokens.get(controlText.startOfText);
  if (start === undefined || ids[0] === start) return ids;
  const whole = new Int32Array(ids.length + 1);
  whole[0] = start;
  whole.set(ids, 1);
  return whole;
}

async function readPrompt(stdin: CommandIo["stdin"]): Promise<string> {
  const decoder = new TextDecoder("utf-8", { fatal: false });
  let text = "";
  for await (const piece of stdin) {
    text += typeof piece === "string" ? piece : decoder.decode(piece, { stream: true });
    if (text.length <= largestPromptBytes) continue;
    throw new RookeryError("INVALID_OPTION", "the prompt on standard input has over 64 MiB", "give a shorter prompt");
  }
  return text + decoder.decode();
}

/** What the user says goes before what the model's makers say. */
function samplingOf(options: SampleOptions, makers: GenerationSettings): SampleResult["sampling"] {
  const topK = options.topK ?? makers.topK ?? 0;
  return {
    temperature: options.temperature ?? makers.temperature ?? 0.8,
    topK: topK === 0 ? undefined : topK,
    topP: options.topP ?? makers.topP ?? 0.95,
    minP: options.minP,
    repetitionPenalty: options.repetitionPenalty ?? makers.repetitionPenalty,
    seed: options.seed ?? randomInt(2 ** 32),
  };
}

async function collect(pieces: ReturnType<typeof generate>, write: (text: string) => void): Promise<Sample> {
  const one: Sample = { text: "", tokens: [], finishReason: "length" };
  for (;;) {
    const next = await pieces.next();
    const text = next.done === true ? next.value.rest : next.value.text;
    one.text += text;
    write(text);
    if (next.done === true) return { ...one, finishReason: next.value.reason };
    one.tokens.push(next.value.token);
  }
}
