import type { Tokenizer as NativeTokenizer } from "tokenizers";
import { RookeryError } from "../base/errors.ts";

// The package keeps offsets and spellings of every token until its result is read: about 150 bytes a token. So much
// text at a time keeps that under a few tens of megabytes.
const charactersPerCall = 1 << 18;

let loading: Promise<typeof import("tokenizers")> | undefined;

/** Hugging Face's `tokenizers` package, loaded at first use: commands that need no tokenizer never map its 10 MB. */
async function loadPackage(): Promise<typeof import("tokenizers")> {
  loading ??= import("tokenizers").then((module) => module.default);
  try {
    return await loading;
  } catch (error) {
    loading = undefined;
    throw new RookeryError(
      "MISSING_DEPENDENCY",
      `the package "tokenizers" cannot be loaded on ${process.platform}-${process.arch}`,
      "run `npm ci` again; its binaries cover Linux, macOS and Windows on x64 and arm64",
      { cause: error },
    );
  }
}

/** One loaded variant of a tokenizer: text to ids, nothing else. */
export class EncodingEngine {
  readonly #native: NativeTokenizer;

  private constructor(native: NativeTokenizer) {
    this.#native = native;
  }

  /** `json` is the text of a checked `tokenizer.json`. Throws `FILE_DAMAGED` when the package refuses it. */
  static async load(json: string, source: string): Promise<EncodingEngine> {
    const { Tokenizer } = await loadPackage();
    try {
      return new EncodingEngine(Tokenizer.fromString(json));
    } catch (error) {
      const reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
      throw new RookeryError("FILE_DAMAGED", `${source}: ${reason}`, "take another copy of the file", { cause: error });
    }
  }

  /** Ids of one well-formed text. */
  async encode(text: string): Promise<Int32Array> {
    if (text === "") return new Int32Array(0);
    const encoding = await this.#native.encode(text, null, { addSpecialTokens: false });
    return Int32Array.from(encoding.getIds());
  }

  /** Ids of each well-formed text. The texts are handed over a few at a time, so memory does not grow with them. */
  async encodeAll(texts: readonly string[]): Promise<Int32Array[]> {
    const all: Int32Array[] = [];
    for (let first = 0; first < texts.length; ) {
      let last = first;
      for (let characters = 0; last < texts.length && characters < charactersPerCall; last++) {
        characters += texts[last]!.length;
      }
      const encodings = await this.#native.encodeBatch(texts.slice(first, last), { addSpecialTokens: false });
      for (const encoding of encodings) all.push(Int32Array.from(encoding.getIds()));
      first = last;
    }
    return all;
  }
}
