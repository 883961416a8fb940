/** The model that is asked: a directory, or a server. */

import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { resolveModel } from "../interop/resolve.ts";
import { openEndpointModel } from "./endpoint-model.ts";
import { openLocalModel } from "./local-model.ts";
import type { EvalModel } from "./model.ts";
import type { EvalRunOptions } from "./options.ts";

export type ModelUnderTest = Pick<
  EvalRunOptions,
  | "model"
  | "modelName"
  | "tokenizer"
  | "maxModelLen"
  | "concurrency"
  | "kvCacheDtype"
  | "cacheBytes"
  | "computeType"
  | "threads"
> & {
  runsFolder: string;
  apiKey: string | undefined;
  /** Whether likelihoods are asked for, for which a server must have the tokenizer at hand. */
  needsTokens: boolean;
};

export const isUrl = (model: string): boolean => /^https?:\/\//.test(model);

/** @throws RookeryError MODEL_NOT_FOUND, ENDPOINT_FAILED, and what loading the model throws. */
export async function openModel(options: ModelUnderTest, context: CommandContext): Promise<EvalModel> {
  const { model, maxModelLen: maxLength, concurrency, apiKey, needsTokens } = options;
  if (isUrl(model)) {
    const { modelName, tokenizer } = options;
    const server = { url: model, apiKey, model: modelName, tokenizer, maxLength, concurrency };
    return await openEndpointModel(server, needsTokens, context.signal);
  }
  const resolved = resolveModel(model, { runsFolder: options.runsFolder });
  if (resolved.kind === "preset") {
    throw new RookeryError(
      "MODEL_NOT_FOUND",
      `${model} is a preset, which has no weights`,
      "give a run or a directory",
    );
  }
  const { kvCacheDtype: keyValueCacheType, cacheBytes, computeType, threads } = options;
  const engine = { keyValueCacheType, cacheBytes, computeType, threads, maxModelLength: maxLength };
  return await openLocalModel(resolved.path, engine, context);
}
