import fs from "node:fs";
import { readJsonFile } from "../base/files.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { ConfigReader } from "./config-reader.ts";

/** The part of generation_config.json that is used: the control tokens, and how its makers sample from the model. */
export type GenerationSettings = {
  bosTokenId: number | null;
  /** Any of them ends an answer. */
  eosTokenIds: readonly number[];
  padTokenId: number | null;
  temperature?: number;
  topK?: number;
  topP?: number;
  repetitionPenalty?: number;
};

const tokenLimits = { min: 0, max: 2 ** 24 };

/** The keys of generation_config.json. */
export function toGenerationConfig(settings: GenerationSettings): Record<string, unknown> {
  const { temperature, topK, topP, repetitionPenalty } = settings;
  const isSampled = temperature !== undefined || topK !== undefined || topP !== undefined;
  return {
    ...tokenIdKeys(settings),
    ...(isSampled ? { do_sample: true } : {}),
    ...(temperature === undefined ? {} : { temperature }),
    ...(topK === undefined ? {} : { top_k: topK }),
    ...(topP === undefined ? {} : { top_p: topP }),
    ...(repetitionPenalty === undefined ? {} : { repetition_penalty: repetitionPenalty }),
  };
}

/** The token ids under the names that config.json and generation_config.json share. */
export function tokenIdKeys(settings: GenerationSettings): Record<string, unknown> {
  const { bosTokenId, eosTokenIds, padTokenId } = settings;
  const eos = eosTokenIds.length === 1 ? eosTokenIds[0] : eosTokenIds.length === 0 ? null : [...eosTokenIds];
  return { bos_token_id: bosTokenId, eos_token_id: eos, pad_token_id: padTokenId };
}

/**
 * Reads generation_config.json; without one there are no control tokens, since the ids in config.json are often the
 * defaults of a class and mean ordinary text. Keys that are not used here are passed over. Throws INVALID_CONFIG for a
 * value that makes no sense, FILE_DAMAGED for a file that is no JSON.
 */
export function readGenerationConfig(filePath: string): GenerationSettings {
  const settings: GenerationSettings = { bosTokenId: null, eosTokenIds: [], padTokenId: null };
  if (!fs.existsSync(filePath)) return settings;
  const values = readJsonFile(filePath);
  const reader = new ConfigReader(isPlainObject(values) ? values : {}, filePath);
  const tokenId = (key: string): number | null => {
    const id = reader.integer(key, tokenLimits, -1);
    return id === -1 ? null : id;
  };
  settings.bosTokenId = tokenId("bos_token_id");
  settings.padTokenId = tokenId("pad_token_id");
  settings.eosTokenIds = readEos(reader, isPlainObject(values) ? values.eos_token_id : undefined, filePath);
  if (isPlainObject(values) && values.do_sample === false) return settings;
  const optional = (key: string): number | undefined => (reader.has(key) ? reader.positive(key) : undefined);
  const temperature = optional("temperature");
  const topK = reader.has("top_k") ? reader.integer("top_k", tokenLimits, 0) : undefined;
  const topP = optional("top_p");
  const repetitionPenalty = optional("repetition_penalty");
  return {
    ...settings,
    ...(temperature === undefined ? {} : { temperature }),
    // 0 is how some files say "no limit".
    ...(topK === undefined || topK === 0 ? {} : { topK }),
    ...(topP === undefined ? {} : { topP }),
    ...(repetitionPenalty === undefined ? {} : { repetitionPenalty }),
  };
}

function readEos(reader: ConfigReader, value: unknown, filePath: string): number[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return [reader.integer("eos_token_id", tokenLimits)];
  return value.map((id: unknown) =>
    new ConfigReader({ eos_token_id: id }, filePath).integer("eos_token_id", tokenLimits),
  );
}
