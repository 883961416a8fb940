import type { Tokenizer as NativeTokenizer } from "tokenizers";
import { RookeryError } from "../base/errors.ts";
import { splitForEncoding } from "./blocks.ts";

// The package keeps offsets and spellings of every token until its result is read: about 150 bytes a token. So much
// text at a time keeps that under a few tens of megabytes.
const charactersPerCall = 1 << 20;

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

  /** Ids of one text as a whole, for texts of bounded length. */
  async encode(text: string): Promise<Int32Array> {
    if (text === "") return new Int32Array(0);
    const encoding = await this.#native.encode(text.toWellFormed(), null, { addSpecialTokens: false });
    return Int32Array.from(encoding.getIds());
  }

  /**
   * Ids of each text. Long texts are cut where the split pattern cuts in any case, so the ids are those of the whole.
   * Memory stays bounded however long the texts are.
   */
  async encodeBatch(texts: readonly string[]): Promise<Int32Array[]> {
    const partsOf: Int32Array[][] = texts.map(() => []);
    let blocks: string[] = [];
    let owners: number[] = [];
    let characters = 0;
    const run = async (): Promise<void> => {
      if (blocks.length === 0) return;
      const encodings = await this.#native.encodeBatch(blocks, { addSpecialTokens: false });
      for (const [index, encoding] of encodings.entries()) {
        partsOf[owners[index]!]!.push(Int32Array.from(encoding.getIds()));
      }
      blocks = [];
      owners = [];
      characters = 0;
    };
    for (const [owner, text] of texts.entries()) {
      for (const block of splitForEncoding(text.toWellFormed())) {
        blocks.push(block);
        owners.push(owner);
        characters += block.length;
        if (characters >= charactersPerCall) await run();
      }
    }
    await run();
    return partsOf.map(joinIds);
  }
}

/** One array of all ids. */
export function joinIds(parts: readonly Int32Array[]): Int32Array {
  if (parts.length === 1) return parts[0]!;
  const all = new Int32Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    all.set(part, offset);
    offset += part.length;
  }
  return all;
}
