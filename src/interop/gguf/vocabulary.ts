/** A tokenizer as llama.cpp reads it from a GGUF: byte-level BPE, cut by the pattern that it knows as "hunyuan". */
import type { GgufValue } from "../../formats/gguf.ts";
import { normalizationForm } from "../../text/pattern.ts";
import { splitsAsOurs, type TokenizerJson } from "../../text/tokenizer-file.ts";
import type { GenerationSettings } from "../generation-config.ts";

/** llama.cpp's kinds of tokens: text, control, and text that is always taken whole. */
const tokenKinds = { normal: 1, control: 3, userDefined: 4 } as const;

/** Why llama.cpp cannot have this tokenizer beside a model of `modelRows` embedding rows; empty when it can. */
export function whyNotVocabulary(json: TokenizerJson, modelRows: number): string[] {
  const reasons: string[] = [];
  const spellings = spellingsOf(json);
  if (spellings.length !== modelRows) {
    reasons.push(
      `it has an embedding row for each token and no more (the model has ${modelRows} rows, the tokenizer ${spellings.length} ids)`,
    );
  }
  const unused = spellings.indexOf(undefined);
  if (unused >= 0) reasons.push(`every id has to be a token (${unused} is none)`);
  if (!splitsAsOurs({ ...json, normalizer: { type: normalizationForm } })) {
    reasons.push("it cuts text by the pattern of Hunyuan-Large and this tokenizer has another pre_tokenizer");
  }
  return reasons;
}

/** What llama.cpp's tokenizer does otherwise, in sentences for people. */
export function vocabularyNotes(json: TokenizerJson): string[] {
  const notes: string[] = [];
  if (json.normalizer !== null && json.normalizer !== undefined) {
    notes.push(`llama.cpp does not normalize text: what is not in ${normalizationForm} gets other tokens there`);
  }
  if (json.model.ignore_merges === true) {
    const merged = new Set(mergesOf(json).map((merge) => merge.replace(" ", "")));
    const lost = Object.keys(json.model.vocab).filter((token) => [...token].length > 1 && !merged.has(token));
    const shown = lost.slice(0, 3).map((token) => JSON.stringify(token));
    if (lost.length > 0) {
      notes.push(
        `llama.cpp takes no piece of text whole: it never makes ${lost.length} tokens (${shown.join(", ")} …)`,
      );
    }
  }
  return notes;
}

/** The `tokenizer.` metadata. `config` is tokenizer_config.json. */
export function vocabularyMetadata(
  json: TokenizerJson,
  config: Readonly<Record<string, unknown>>,
  generation: GenerationSettings,
): [string, GgufValue][] {
  const added = new Map(json.added_tokens.map((token) => [token.id, token]));
  const spellings = spellingsOf(json).map((spelling) => spelling ?? "");
  const kinds = spellings.map((_, id) => {
    const token = added.get(id);
    return token === undefined ? tokenKinds.normal : token.special ? tokenKinds.control : tokenKinds.userDefined;
  });
  const text = (value: string): GgufValue => ({ type: "string", value });
  const id = (value: number): GgufValue => ({ type: "u32", value });
  const [eos, eot] = generation.eosTokenIds;
  return [
    ["tokenizer.ggml.model", text("gpt2")],
    ["tokenizer.ggml.pre", text("hunyuan")],
    ["tokenizer.ggml.tokens", { type: "array", of: "string", values: spellings }],
    ["tokenizer.ggml.token_type", { type: "array", of: "i32", values: kinds }],
    ["tokenizer.ggml.merges", { type: "array", of: "string", values: mergesOf(json) }],
    ...(generation.bosTokenId === null ? [] : [["tokenizer.ggml.bos_token_id", id(generation.bosTokenId)] as const]),
    // llama.cpp ends an answer at either
    ...(eos === undefined ? [] : [["tokenizer.ggml.eos_token_id", id(eos)] as const]),
    ...(eot === undefined ? [] : [["tokenizer.ggml.eot_token_id", id(eot)] as const]),
    ...(generation.padTokenId === null
      ? []
      : [["tokenizer.ggml.padding_token_id", id(generation.padTokenId)] as const]),
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: config.add_bos_token === true }],
    ...(typeof config.chat_template === "string"
      ? [["tokenizer.chat_template", text(config.chat_template)] as const]
      : []),
  ].map(([key, value]) => [key as string, value as GgufValue]);
}

/** Spelling of each id; undefined for an id that is no token. */
function spellingsOf(json: TokenizerJson): (string | undefined)[] {
  const spelled = new Map<number, string>();
  for (const [token, id] of Object.entries(json.model.vocab)) spelled.set(id, token);
  for (const { id, content } of json.added_tokens) spelled.set(id, content);
  const size = 1 + [...spelled.keys()].reduce((largest, id) => Math.max(largest, id), -1);
  return Array.from({ length: size }, (_, id) => spelled.get(id));
}

/** Merges with a space between their two tokens, as older tokenizer.json files have them too. */
function mergesOf(json: TokenizerJson): string[] {
  const merges = json.model.merges as (string | [string, string])[];
  return merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" ")));
}
