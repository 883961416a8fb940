import { isDeepStrictEqual } from "node:util";
import { RookeryError } from "../base/errors.ts";
import { quoteForMessage } from "../base/files.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { bytesOfSpelling } from "./byte-alphabet.ts";
import { normalizationForm, specialTokens, splitPattern } from "./pattern.ts";
import { type TokenEntry, TokenTable } from "./token-table.ts";

/** What training gives: tokens spelled in the byte-level alphabet, `tokens[id]`, and the merges in rank order. */
export type BpeVocabulary = { tokens: readonly string[]; merges: readonly (readonly [string, string])[] };

export type AddedToken = { id: number; content: string; special: boolean };

/** `tokenizer.json` with the fields that are looked at; what else it has is handed on as it is. */
export type TokenizerJson = Record<string, unknown> & {
  added_tokens: AddedToken[];
  model: Record<string, unknown> & { vocab: Record<string, number> };
};

/** The largest `tokenizer.json` that is read: several times that of a vocabulary of 262,144. */
export const tokenizerJsonLimitBytes = 128 * 1024 * 1024;

// Ids size the tables of bytes: without a bound a file of one line could ask for gigabytes.
const maxTokenId = 1_048_575;

/** `tokenizer.json` of a vocabulary: the special tokens take the ids after it. */
export function makeTokenizerJson(
  vocabulary: BpeVocabulary,
  specials: readonly string[] = specialTokens,
): TokenizerJson {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specials.map((content, index) => ({
      id: vocabulary.tokens.length + index,
      content,
      ...flags,
      special: true,
    })),
    normalizer: { type: normalizationForm },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: splitPattern }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(vocabulary.tokens.map((token, id) => [token, id])),
      merges: vocabulary.merges,
    },
  };
}

/**
 * Checks that `value` is the `tokenizer.json` of a byte-level BPE tokenizer and that its ids make sense. `source` names
 * it in messages. Throws `UNKNOWN_FORMAT` for another kind of tokenizer and `FILE_DAMAGED` for one that cannot be right.
 */
export function checkTokenizerJson(value: unknown, source: string): TokenizerJson {
  const damaged = (what: string): RookeryError =>
    new RookeryError("FILE_DAMAGED", `${source}: ${what}`, "take another copy of the file");
  if (!isPlainObject(value)) throw damaged("is not a JSON object");
  const { model, decoder } = value;
  if (!isPlainObject(model)) throw damaged("has no `model` object");
  const type = model.type ?? "BPE";
  if (type !== "BPE" || !mentionsByteLevel(decoder)) {
    throw new RookeryError(
      "UNKNOWN_FORMAT",
      `${source}: a tokenizer of type ${quoteForMessage(JSON.stringify(type ?? null))}${type === "BPE" ? " without a ByteLevel decoder" : ""}`,
      "Rookery reads byte-level BPE tokenizers: model.type BPE and decoder ByteLevel",
    );
  }
  const { vocab, merges } = model;
  if (!isPlainObject(vocab)) throw damaged("has no `model.vocab` object");
  if (!Array.isArray(merges)) throw damaged("has no `model.merges` list");
  const seen = new Set<number>();
  for (const [token, id] of Object.entries(vocab)) {
    if (!isTokenId(id))
      throw damaged(`token ${quoteForMessage(token)} has the id ${quoteForMessage(JSON.stringify(id))}`);
    if (seen.has(id)) throw damaged(`the id ${id} belongs to two tokens`);
    seen.add(id);
  }
  for (const merge of merges) {
    const [left, right] = partsOfMerge(merge) ?? [];
    if (left === undefined || right === undefined) {
      throw damaged(`the merge ${quoteForMessage(JSON.stringify(merge) ?? "undefined")} is not two tokens`);
    }
    for (const token of [left, right, left + right]) {
      if (!Object.hasOwn(vocab, token))
        throw damaged(`a merge uses ${quoteForMessage(token)}, which is not in model.vocab`);
    }
  }
  const added = value.added_tokens ?? [];
  if (!Array.isArray(added)) throw damaged("`added_tokens` is not a list");
  const checkedAdded = added.map((token: unknown) => {
    if (!isPlainObject(token) || typeof token.content !== "string" || token.content === "" || !isTokenId(token.id)) {
      throw damaged(
        `the added token ${quoteForMessage(JSON.stringify(token) ?? "undefined")} has no usable id and content`,
      );
    }
    const inVocabulary = Object.hasOwn(vocab, token.content) ? vocab[token.content] : undefined;
    if (inVocabulary === undefined ? seen.has(token.id) : inVocabulary !== token.id) {
      throw damaged(`the added token ${quoteForMessage(token.content)} has the id ${token.id} of another token`);
    }
    seen.add(token.id);
    return { ...token, id: token.id, content: token.content, special: token.special === true };
  });
  return { ...value, added_tokens: checkedAdded, model: { ...model, vocab: vocab as Record<string, number> } };
}

/** The bytes of each id. Throws `FILE_DAMAGED` when a token of the vocabulary cannot be read as bytes. */
export function readTokenTable(json: TokenizerJson, source: string): TokenTable {
  const entries = new Map<number, TokenEntry>();
  const addedIds = new Set(json.added_tokens.map((token) => token.id));
  for (const [token, id] of Object.entries(json.model.vocab)) {
    if (addedIds.has(id)) continue;
    const bytes = bytesOfSpelling(token);
    if (bytes === undefined) {
      throw new RookeryError(
        "FILE_DAMAGED",
        `${source}: token ${quoteForMessage(token)} (id ${id}) is not spelled in the byte-level alphabet`,
        "Rookery reads byte-level BPE tokenizers only",
      );
    }
    entries.set(id, { id, bytes, special: false });
  }
  const encoder = new TextEncoder();
  for (const { id, content, special } of json.added_tokens) {
    entries.set(id, { id, bytes: encoder.encode(content), special });
  }
  return new TokenTable([...entries.values()]);
}

/**
 * The file that the package is to load: with or without the added tokens, which turn their text into control tokens,
 * and without truncation, padding, post-processing and dropout, which would change what a caller asked for.
 */
export function engineJson(json: TokenizerJson, keep: { addedTokens: boolean; normalizer: boolean }): string {
  return JSON.stringify({
    ...json,
    added_tokens: keep.addedTokens ? json.added_tokens : [],
    normalizer: keep.normalizer ? (json.normalizer ?? null) : null,
    truncation: null,
    padding: null,
    post_processor: null,
    model: { ...json.model, dropout: null },
  });
}

/** Whether text is normalised and split exactly as by `makeTokenizerJson`, so that `splitPieces` gives its pieces. */
export function splitsAsOurs(json: TokenizerJson): boolean {
  const ours = makeTokenizerJson({ tokens: [], merges: [] });
  return (
    isDeepStrictEqual(json.normalizer, ours.normalizer) && isDeepStrictEqual(json.pre_tokenizer, ours.pre_tokenizer)
  );
}

function isTokenId(id: unknown): id is number {
  return typeof id === "number" && Number.isInteger(id) && id >= 0 && id <= maxTokenId;
}

// Older files join the two with a space, which no byte-level token contains.
function partsOfMerge(merge: unknown): [string, string] | undefined {
  const parts: unknown = typeof merge === "string" ? merge.split(" ") : merge;
  if (!Array.isArray(parts) || parts.length !== 2) return undefined;
  const [left, right] = parts as [unknown, unknown];
  return typeof left === "string" && typeof right === "string" ? [left, right] : undefined;
}

function mentionsByteLevel(decoder: unknown): boolean {
  if (!isPlainObject(decoder)) return false;
  if (decoder.type === "ByteLevel") return true;
  return decoder.type === "Sequence" && Array.isArray(decoder.decoders) && decoder.decoders.some(mentionsByteLevel);
}
