/** What a load is put on: an engine in this process, with weights of its own or random ones, or a server. */
import { Endpoint } from "../endpoint/endpoint.ts";
import { LocalEngine } from "../engine/local-engine.ts";
import type { EngineOptionsInput } from "../engine/options.ts";
import type { EngineInfo, EngineStats } from "../engine/request.ts";
import { loadModel } from "../interop/load.ts";
import { account } from "../model/accounting.ts";
import type { ModelConfig } from "../model/config.ts";
import { Transformer } from "../model/transformer.ts";
import { Execution } from "../tensor/execution.ts";
import { BpeTrainer } from "../text/bpe-trainer.ts";
import { Tokenizer } from "../text/tokenizer.ts";

export type LoadRequest = { prompt: Int32Array; outputTokens: number; seed: number; signal?: AbortSignal | undefined };

/** Tokens that have come. Those of the end have been told of and did not come just then. */
export type Arrival = { tokens: number; isEnd?: boolean };

/** Somebody who answers. */
export type LoadTarget = AsyncDisposable & {
  name: string;
  /** Ids below this may stand in prompts. */
  vocabularySize: number;
  answer(request: LoadRequest): AsyncIterable<Arrival>;
  /** Undefined for a server, which does not tell. */
  inside?: { info: EngineInfo; config: ModelConfig; parameters: number; stats(): Promise<EngineStats> };
};

/** Bytes have the first ids of every byte-level vocabulary. */
const idsOfAnyVocabulary = 256;

/** @throws RookeryError ENDPOINT_FAILED. */
export async function serverTarget(url: string, apiKey: string | undefined): Promise<LoadTarget> {
  const endpoint = new Endpoint({ url, apiKey });
  const [model = ""] = await endpoint.models();
  return {
    name: `${model} at ${endpoint.url}`,
    vocabularySize: idsOfAnyVocabulary,
    async *answer({ prompt, outputTokens, seed, signal }) {
      const request = { model, prompt: Array.from(prompt), max_tokens: outputTokens, seed, ignore_eos: true };
      let told = 0;
      for await (const piece of endpoint.answer(request, signal)) {
        if (piece.type === "end") yield { tokens: Math.max(0, (piece.answerTokens ?? told) - told), isEnd: true };
        else if (piece.text !== "") {
          told++;
          yield { tokens: 1 };
        }
      }
    },
    [Symbol.asyncDispose]: async () => {},
  };
}

type EngineTargetOptions = {
  threads: number;
  computeType: "bf16" | "f32";
  engine: Omit<EngineOptionsInput, "threads" | "computeType">;
};

/** The model of a directory. Throws as `loadModel` and `LocalEngine`. */
export async function modelTarget(name: string, folder: string, options: EngineTargetOptions): Promise<LoadTarget> {
  const { model, tokenizer } = await loadModel(folder);
  return engineTarget(name, model, tokenizer, options);
}

/** A model of random weights: how fast they are does not depend on what they say. Throws as `LocalEngine`. */
export function randomTarget(name: string, config: ModelConfig, options: EngineTargetOptions): LoadTarget {
  const model = new Transformer(config);
  model.initialize(1);
  const trainer = new BpeTrainer();
  trainer.add("how fast weights are does not depend on what they say");
  const tokenizer = Tokenizer.fromTraining(trainer.train({ vocabularySize: idsOfAnyVocabulary + 32 }));
  return engineTarget(name, model, tokenizer, options);
}

function engineTarget(
  name: string,
  model: Transformer,
  tokenizer: Tokenizer,
  options: EngineTargetOptions,
): LoadTarget {
  const { threads, computeType } = options;
  const resources = new DisposableStack();
  resources.use(model);
  const execution = resources.use(new Execution({ threads, computeType }));
  model.keepPacked(execution.pool, computeType);
  let engine: LocalEngine;
  try {
    engine = new LocalEngine({ execution, model, tokenizer }, options.engine);
  } catch (error) {
    resources.dispose();
    throw error;
  }
  const { config } = model;
  return {
    name,
    vocabularySize: Math.min(config.vocabularySize, tokenizer.vocabularySize),
    inside: { info: engine.info, config, parameters: account(config).parameters.total, stats: () => engine.stats() },
    async *answer({ prompt, outputTokens, seed, signal }) {
      const request = {
        prompt,
        count: 1,
        maxTokens: outputTokens,
        sampling: { temperature: 1 },
        seed,
        stopTokenIds: [],
        stopStrings: [],
      };
      for await (const event of engine.generate(request, signal)) {
        if (event.type === "token") yield { tokens: 1 };
      }
    },
    async [Symbol.asyncDispose]() {
      await engine.close();
      resources.dispose();
    },
  };
}
