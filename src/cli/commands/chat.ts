import { z } from "zod";
import type { CommandContext } from "../../base/events.ts";
import { type AnswerSettings, type ChatMessage, Endpoint } from "../../endpoint/endpoint.ts";
import { engineOptionsSchema } from "../../engine/options.ts";
import { startEngine } from "../../engine/worker-engine.ts";
import { nameOfModel } from "../../interop/folders.ts";
import { createApp } from "../../serve/app.ts";
import { type CommandIo, defineCommand } from "../command.ts";
import { Conversation } from "../conversation.ts";
import { pipedLines, typedLines } from "../lines.ts";
import { folderOfModel, runsFolderOption } from "../model.ts";
import { shortNumber } from "../text.ts";

const otherwise = "by default what the model's makers say, or what servers take";

export const chatSchema = z.strictObject({
  model: z
    .string()
    .min(1)
    .describe("a run, a model directory, or the address of a server, such as http://127.0.0.1:8080")
    .meta({ valueName: "MODEL" }),
  runsFolder: runsFolderOption,
  modelName: z
    .string()
    .min(1)
    .optional()
    .describe("which model of a server; by default its first")
    .meta({ valueName: "NAME" }),
  system: z.string().min(1).optional().describe("the system prompt").meta({ valueName: "TEXT" }),
  maxTokens: z.int().min(1).optional().describe("most tokens of an answer; by default what fits").meta({
    valueName: "N",
  }),
  temperature: z.number().min(0).optional().describe(`how freely to choose, 0 for the likeliest token (${otherwise})`),
  topK: z.int().min(0).optional().describe(`choose among this many likeliest tokens, 0 for all (${otherwise})`),
  topP: z.number().gt(0).max(1).optional().describe(`choose among the likeliest of this probability (${otherwise})`),
  minP: z.number().min(0).max(1).optional().describe("no token less likely than this share of the likeliest"),
  repetitionPenalty: z
    .number()
    .positive()
    .optional()
    .describe(`above 1: make tokens that are there already less likely (${otherwise})`),
  seed: z.int().min(0).optional().describe("the same seed gives the same answers; by default others each time"),
  computeType: engineOptionsSchema.shape.computeType,
  threads: engineOptionsSchema.shape.threads.meta({ valueName: "N" }),
});

type ChatOptions = z.output<typeof chatSchema>;

export type ChatResult = { model: string; messages: readonly ChatMessage[]; answerTokens: number };

export const command = defineCommand({
  schema: chatSchema,
  positionals: ["model"],
  examples: [
    { line: "rookery chat my-run", purpose: "talk to the model of a run" },
    { line: 'rookery chat http://127.0.0.1:8080 --system "Answer in verse."', purpose: "talk to a server" },
    { line: "rookery chat my-run --temperature 0 --json < questions.txt", purpose: "a question a line, as JSON" },
  ],
  run: chat,
  describe: () => [],
});

export async function chat(options: ChatOptions, context: CommandContext, io: CommandIo): Promise<ChatResult> {
  await using connection = await connect(options, context, io.environment);
  const { endpoint, model } = connection;
  const conversation = new Conversation(
    {
      endpoint,
      model,
      settings: settingsOf(options),
      system: options.system,
      write: (text) => io.write(text),
      failsAtOnce: io.terminal === undefined,
    },
    context,
  );
  if (io.terminal === undefined) await conversation.follow(pipedLines(io.stdin));
  else {
    context.onEvent?.({ type: "note", message: `talking to ${model}; /help lists what else there is` });
    const interrupt = () => conversation.interrupt();
    await conversation.follow(typedLines(io.terminal, { prompt: "> ", interrupt, signal: context.signal }));
    const { answerTokens } = conversation;
    if (answerTokens > 0) context.onEvent?.({ type: "note", message: `${shortNumber(answerTokens)} tokens written` });
  }
  context.signal?.throwIfAborted();
  return { model, messages: conversation.messages, answerTokens: conversation.answerTokens };
}

type Connection = AsyncDisposable & { endpoint: Endpoint; model: string };

/** To a server, or to an engine of one's own behind the same API, which then needs no network. */
async function connect(
  options: ChatOptions,
  context: CommandContext,
  environment: CommandIo["environment"],
): Promise<Connection> {
  if (/^https?:\/\//.test(options.model)) {
    const endpoint = new Endpoint({ url: options.model, apiKey: environment.ROOKERY_API_KEY });
    const model = await endpoint.modelOrFirst(options.modelName, "name one with --model-name", context.signal);
    return { endpoint, model, [Symbol.asyncDispose]: async () => {} };
  }
  const folder = folderOfModel(options.model, options.runsFolder);
  const { computeType, threads } = options;
  const engine = await startEngine(folder, { computeType, threads, maxBatch: 1 }, context);
  const model = nameOfModel(options.model);
  const { tokenizer, directory } = engine;
  const app = createApp(engine, {
    model: { id: model, tokenizer, generation: directory.generation, createdSeconds: 0 },
    ...(context.onEvent === undefined ? {} : { onEvent: context.onEvent }),
  });
  const endpoint = new Endpoint({ url: "http://localhost", fetch: (url, init) => app.request(url, init) });
  return { endpoint, model, [Symbol.asyncDispose]: () => engine.close() };
}

function settingsOf(options: ChatOptions): AnswerSettings {
  return {
    max_tokens: options.maxTokens,
    temperature: options.temperature,
    top_k: options.topK,
    top_p: options.topP,
    min_p: options.minP,
    repetition_penalty: options.repetitionPenalty,
    seed: options.seed,
  };
}
