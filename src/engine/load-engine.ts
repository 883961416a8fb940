/** A model by its name as an engine that takes texts: what a program needs that wants answers and no server. */
import { randomInt } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { z } from "zod";
import { parseOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { didYouMean } from "../base/nearest.ts";
import { folderOfRunOrDirectory, nameOfModel } from "../interop/folders.ts";
import type { GenerationSettings } from "../interop/generation-config.ts";
import { type ChatMessage, encodeChat } from "../text/chat-template.ts";
import { joinIds } from "../text/ids.ts";
import { controlText } from "../text/pattern.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { EngineOptionsInput } from "./options.ts";
import type { EngineEvent, EngineHandle, EngineInfo, EngineRequest, EngineStats, FinishReason } from "./request.ts";
import { type SamplingSettings, samplingSettingNames } from "./sampling-settings.ts";
import { stopTokenIds } from "./stop-tokens.ts";
import type { StartedEngine } from "./worker-engine.ts";

/** How a text is written; what is absent is as the model's makers say, else temperature 0.8 and top-p 0.95. */
export type WriteOptions = Partial<SamplingSettings> & {
  /** Most tokens of the answer; by default 256. */
  maxTokens?: number;
  /** Texts that end the answer and are no part of it. */
  stop?: readonly string[];
  /** The same seed gives the same text, whatever else the engine does; by default another one each time. */
  seed?: number;
  /** Ends the answer, and frees what it holds; the iteration then throws the signal's reason. */
  signal?: AbortSignal | undefined;
};

/** A token and the text that it completes. `token` is null for what was held back at the end. */
export type WrittenPiece = { token: number | null; text: string };

/** An engine with its tokenizer, on a thread of its own. `close` it, or hold it by `await using`. */
export class LoadedEngine implements EngineHandle, AsyncDisposable {
  /** The name of the run or of the directory: what clients of `createApp` call the model. */
  readonly id: string;
  readonly tokenizer: Tokenizer;
  /** What the model's makers say of sampling, and the tokens that end an answer. */
  readonly generation: GenerationSettings;
  /** When the model was written, in seconds since 1970. */
  readonly createdSeconds: number;
  readonly #engine: StartedEngine;

  /** @param engine closed with this one. */
  constructor(id: string, engine: StartedEngine) {
    this.id = id;
    this.tokenizer = engine.tokenizer;
    this.generation = engine.directory.generation;
    this.createdSeconds = Math.floor(fs.statSync(path.join(engine.directory.path, "config.json")).mtimeMs / 1000);
    this.#engine = engine;
  }

  get info(): EngineInfo {
    return this.#engine.info;
  }

  /** Token ids of a text in which nothing is a control token. */
  encode(text: string): Promise<Int32Array> {
    return this.tokenizer.encodeText(text);
  }

  /** The text of token ids; bytes that are no UTF-8 become U+FFFD. */
  decode(ids: ArrayLike<number>): string {
    return this.tokenizer.decode(ids);
  }

  /**
   * The answer to a chat, or what follows a text that begins a document (in which control tokens may be spelled out), token by token.
   * All pieces together are the whole text; a token in the middle of a character has none. Leaving the
   * iteration early frees what the answer holds.
   *
   * @example
   * for await (const { text } of engine.write("Call me")) process.stdout.write(text);
   * @throws RookeryError INVALID_OPTION for settings or a prompt that cannot be used, UNKNOWN_OPTION, BAD_DATA for messages that are
   * none, OVERLOADED; the signal's reason.
   */
  async *write(
    prompt: string | readonly ChatMessage[],
    { maxTokens = 256, stop = [], seed = randomInt(2 ** 32), signal, ...sampling }: WriteOptions = {},
  ): AsyncGenerator<WrittenPiece, { reason: FinishReason }> {
    checkNames(Object.keys(sampling));
    const { temperature = 0.8, topK, topP = 0.95, repetitionPenalty, eosTokenIds } = this.generation;
    const request: EngineRequest = {
      prompt:
        typeof prompt === "string"
          ? await this.#encodeDocument(prompt)
          : (await encodeChat(this.tokenizer, prompt)).ids,
      count: 1,
      maxTokens,
      sampling: { temperature, topK: topK === 0 ? undefined : topK, topP, repetitionPenalty, ...sampling },
      seed,
      stopTokenIds: stopTokenIds(this.tokenizer, eosTokenIds),
      stopStrings: stop,
    };
    for await (const event of this.#engine.generate(request, signal)) {
      if (event.type === "token") yield { token: event.token, text: event.text };
      else if (event.type === "finished") {
        // what was held back, since it might have become a character or a stop text
        if (event.text !== "") yield { token: null, text: event.text };
        return { reason: event.reason };
      }
    }
    throw new RookeryError("ENGINE_STOPPED", "the engine ended before the answer did", "start it again");
  }

  generate(request: EngineRequest, signal?: AbortSignal): AsyncIterable<EngineEvent> {
    return this.#engine.generate(request, signal);
  }

  embed(tokens: Int32Array, signal?: AbortSignal): Promise<Float32Array> {
    return this.#engine.embed(tokens, signal);
  }

  stats(): Promise<EngineStats> {
    return this.#engine.stats();
  }

  close(): Promise<void> {
    return this.#engine.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** As a document starts in training. */
  async #encodeDocument(text: string): Promise<Int32Array> {
    const ids = await this.tokenizer.encodeWithSpecials(text);
    const start = this.tokenizer.specialTokens.get(controlText.startOfText);
    return start === undefined || ids[0] === start ? ids : joinIds([Int32Array.of(start), ids]);
  }
}

/** A name that is not known would change nothing, in silence. */
function checkNames(names: readonly string[]): void {
  const unknown = names.find((name) => !samplingSettingNames.some((known) => known === name));
  if (unknown === undefined) return;
  const known = [...samplingSettingNames, "maxTokens", "stop", "seed", "signal"];
  throw new RookeryError("UNKNOWN_OPTION", `there is no option "${unknown}"`, didYouMean(unknown, known));
}

const whereSchema = z.strictObject({ model: z.string(), runsFolder: z.string().min(1).default("runs") });

/**
 * Loads MODEL: the name of a run in `runsFolder` (by default `runs`), or a model directory. `signal` ends the loading; each answer has
 * a signal of its own. Several engines in one process share nothing but the compiled kernels.
 * @throws RookeryError MODEL_NOT_FOUND, and what `startEngine` throws.
 */
export async function loadEngine(
  model: string,
  { runsFolder: runs, ...options }: EngineOptionsInput & { runsFolder?: string } = {},
  context: CommandContext = {},
): Promise<LoadedEngine> {
  const { runsFolder } = parseOptions(whereSchema, { model, ...(runs === undefined ? {} : { runsFolder: runs }) });
  const folder = folderOfRunOrDirectory(model, runsFolder);
  // brings the kernels and all readers of models, which a program that only imports this does not wait for
  const { startEngine } = await import("./worker-engine.ts");
  return new LoadedEngine(nameOfModel(model), await startEngine(folder, options, context));
}
