import { existsSync } from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import { makeFolder, readJsonFile, writeFileAtomic } from "../base/files.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { BlockEncoder } from "./block-encoder.ts";
import { EncodingEngine } from "./encoding-engine.ts";
import { joinIds } from "./ids.ts";
import { type ControlName, controlText } from "./pattern.ts";
import { StreamDecoder } from "./stream-decoder.ts";
import { readTiktokenFile } from "./tiktoken-file.ts";
import type { TokenTable } from "./token-table.ts";
import { makeTokenizerConfig, type TokenizerConfig } from "./tokenizer-config.ts";
import {
  type BpeVocabulary,
  checkTokenizerJson,
  engineJson,
  makeTokenizerJson,
  readTokenTable,
  splitsAsOurs,
  type TokenizerJson,
  tokenizerJsonLimitBytes,
} from "./tokenizer-file.ts";
import { type ByteRun, splitByUtf8 } from "./utf8.ts";

type Variant = "text" | "specials" | "raw";

const variantParts: Record<Variant, { addedTokens: boolean; normalizer: boolean }> = {
  text: { addedTokens: false, normalizer: true },
  specials: { addedTokens: true, normalizer: true },
  raw: { addedTokens: false, normalizer: false },
};

/**
 * A byte-level BPE tokenizer. Encoding is done by Hugging Face's `tokenizers` package; decoding copies bytes and is
 * synchronous. Text that spells a control token becomes ordinary tokens, unless `encodeWithSpecials` is asked.
 */
export class Tokenizer {
  /** Ids run from 0 to one below this, special tokens included. */
  readonly vocabularySize: number;
  /** Bytes of text of each id, int32 [vocabularySize]; 0 for special tokens. Bits per byte divides by sums of these. */
  readonly textByteLengths: Int32Array;
  /** Text of each special token → its id, in id order. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** What `tokenizer_config.json` says, or would say. */
  readonly config: TokenizerConfig;
  readonly #json: TokenizerJson;
  readonly #source: string;
  readonly #table: TokenTable;
  readonly #idOfByte = new Int32Array(256).fill(-1);
  readonly #engines = new Map<Variant, Promise<EncodingEngine>>();
  #encoder: Promise<BlockEncoder> | undefined;

  private constructor(json: TokenizerJson, config: TokenizerConfig, source: string) {
    this.#json = json;
    this.#source = source;
    this.#table = readTokenTable(json, source);
    this.config = config;
    this.vocabularySize = this.#table.size;
    this.textByteLengths = this.#table.textByteLengths;
    const special = json.added_tokens.filter((token) => token.special).sort((a, b) => a.id - b.id);
    this.specialTokens = new Map(special.map((token) => [token.content, token.id]));
    for (const id of Object.values(json.model.vocab)) {
      if (!this.#table.isSpecial(id) && this.textByteLengths[id] === 1)
        this.#idOfByte[this.#table.bytesOf(id)[0]!] = id;
    }
  }

  /**
   * Reads `tokenizer.json`, or where there is none the official `hy.tiktoken`, and `tokenizer_config.json` where there is
   * one, from a model directory. Throws `FILE_UNREADABLE`, `FILE_DAMAGED`, or `UNKNOWN_FORMAT` for a tokenizer that is no byte-level BPE.
   */
  static async load(directory: string): Promise<Tokenizer> {
    const file = path.join(directory, "tokenizer.json");
    const config = readConfig(path.join(directory, "tokenizer_config.json"));
    const official = path.join(directory, "hy.tiktoken");
    if (!existsSync(file) && existsSync(official)) {
      return Tokenizer.fromJson(readTiktokenFile(official), officialConfig(config), official);
    }
    const json = readJsonFile(file, tokenizerJsonLimitBytes);
    return Tokenizer.fromJson(json, config, file);
  }

  /** From a parsed `tokenizer.json` and `tokenizer_config.json`; `source` names it in messages. Throws as `load`. */
  static fromJson(
    json: unknown,
    config: TokenizerConfig = makeTokenizerConfig(),
    source = "tokenizer.json",
  ): Tokenizer {
    return new Tokenizer(checkTokenizerJson(json, source), config, source);
  }

  /** From what the trainer gave: the special tokens of the official layout follow the vocabulary. */
  static fromTraining(vocabulary: BpeVocabulary, config: TokenizerConfig = makeTokenizerConfig()): Tokenizer {
    return new Tokenizer(makeTokenizerJson(vocabulary), config, "the trained tokenizer");
  }

  /** Writes `tokenizer.json` and `tokenizer_config.json`. Throws `FILE_UNWRITABLE`. */
  async save(directory: string): Promise<void> {
    makeFolder(directory);
    writeFileAtomic(path.join(directory, "tokenizer.json"), `${JSON.stringify(this.#json)}\n`);
    writeFileAtomic(path.join(directory, "tokenizer_config.json"), `${JSON.stringify(this.config, null, 2)}\n`);
  }

  /** The parsed `tokenizer.json`, to be read only. */
  get json(): TokenizerJson {
    return this.#json;
  }

  /** Ids of a text in which nothing is a control token: `<|eos|>` typed by a user stays text. */
  async encodeText(text: string): Promise<Int32Array> {
    const [ids] = await this.encodeBatch([text]);
    return ids!;
  }

  /** `encodeText` of each, on all cores; texts of any length. */
  async encodeBatch(texts: readonly string[]): Promise<Int32Array[]> {
    this.#encoder ??= this.#makeEncoder();
    return (await this.#encoder).encodeBatch(texts);
  }

  /** Ids of a raw prompt: text that spells a special token becomes that token. For trusted prompts and `/tokenize`. */
  async encodeWithSpecials(text: string): Promise<Int32Array> {
    return (await this.#engine("specials")).encode(text.toWellFormed());
  }

  /**
   * Ids of any bytes, such that `decodeBytes` gives the same bytes back: text is not normalised, and bytes that are
   * no UTF-8 become one token each.
   */
  async encodeBytes(bytes: Uint8Array): Promise<Int32Array> {
    const runs = splitByUtf8(bytes);
    const encoder = new BlockEncoder(await this.#engine("raw"));
    const texts = runs.filter((run): run is Extract<ByteRun, { text: string }> => "text" in run).map((run) => run.text);
    const encoded = (await encoder.encodeBatch(texts)).values();
    return joinIds(runs.map((run) => ("text" in run ? encoded.next().value! : this.#encodeSingleBytes(run.bytes))));
  }

  /** Text of ids; bytes that are no UTF-8 become U+FFFD. Throws `INVALID_OPTION` on an id outside the vocabulary. */
  decode(ids: ArrayLike<number>, options: { skipSpecialTokens?: boolean } = {}): string {
    const bytes = this.decodeBytes(ids, options);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  }

  /** The bytes of ids, lossless whatever they are. Throws `INVALID_OPTION` on an id outside the vocabulary. */
  decodeBytes(ids: ArrayLike<number>, options: { skipSpecialTokens?: boolean } = {}): Uint8Array {
    return this.#table.concatenate(ids, options.skipSpecialTokens ?? false);
  }

  /** Decodes ids one at a time into whole characters. */
  streamDecoder(options: { skipSpecialTokens?: boolean } = {}): StreamDecoder {
    return new StreamDecoder(this.#table, options);
  }

  /** The bytes of one token, as a copy. Throws `INVALID_OPTION` on an id outside the vocabulary. */
  tokenBytes(id: number): Uint8Array {
    return this.#table.bytesOf(id).slice();
  }

  isSpecial(id: number): boolean {
    return this.#table.isSpecial(id);
  }

  /** Id of a control token of the recipe. Throws `UNSUPPORTED_MODEL` when this tokenizer has none of that name. */
  controlId(name: ControlName): number {
    const text = controlText[name];
    const id = this.specialTokens.get(text);
    if (id === undefined) {
      throw new RookeryError(
        "UNSUPPORTED_MODEL",
        `${this.#source} has no special token ${text}`,
        "use a tokenizer with the special tokens of Hunyuan-Large",
      );
    }
    return id;
  }

  async #makeEncoder(): Promise<BlockEncoder> {
    const exact = await this.#engine("text");
    return splitsAsOurs(this.#json) ? new BlockEncoder(exact, await this.#engine("raw")) : new BlockEncoder(exact);
  }

  #engine(variant: Variant): Promise<EncodingEngine> {
    let engine = this.#engines.get(variant);
    if (engine === undefined) {
      engine = EncodingEngine.load(engineJson(this.#json, variantParts[variant]), this.#source);
      this.#engines.set(variant, engine);
    }
    return engine;
  }

  #encodeSingleBytes(bytes: Uint8Array): Int32Array {
    return Int32Array.from(bytes, (byte) => {
      const id = this.#idOfByte[byte]!;
      if (id < 0) {
        throw new RookeryError(
          "UNSUPPORTED_MODEL",
          `${this.#source} has no token for the byte 0x${byte.toString(16).padStart(2, "0")}`,
          "use a tokenizer whose vocabulary has all 256 bytes",
        );
      }
      return id;
    });
  }
}

function readConfig(file: string): TokenizerConfig {
  let config: unknown;
  try {
    config = readJsonFile(file);
  } catch (error) {
    // A tokenizer without this file is whole: it only lacks a template of its own.
    if (error instanceof RookeryError && (error.cause as NodeJS.ErrnoException | undefined)?.code === "ENOENT") {
      return makeTokenizerConfig();
    }
    throw error;
  }
  if (!isPlainObject(config)) {
    throw new RookeryError("FILE_DAMAGED", `${file}: is not a JSON object`, "take another copy of the file");
  }
  return config;
}

/** What stands beside `hy.tiktoken` names Python code; the template and the longest text are kept, the rest is ours. */
function officialConfig({ chat_template: template, model_max_length: maxLength }: TokenizerConfig): TokenizerConfig {
  return {
    ...makeTokenizerConfig(typeof maxLength === "number" ? { modelMaxLength: maxLength } : {}),
    ...(typeof template === "string" ? { chat_template: template } : {}),
  };
}
