import { splitForEncoding } from "./blocks.ts";
import type { EncodingEngine } from "./encoding-engine.ts";
import { joinIds } from "./ids.ts";
import { normalizationForm } from "./pattern.ts";
import { PieceCache } from "./piece-cache.ts";

// Text that is under way at a time.
const charactersPerRound = 1 << 20;

/**
 * Encodes texts of any length and number with bounded memory. Long texts are cut into blocks where the split pattern
 * cuts in any case, so the ids are those of the whole.
 */
export class BlockEncoder {
  readonly #exact: EncodingEngine;
  readonly #cache: PieceCache | undefined;

  /** `exact` normalises as the tokenizer says; `raw`, given only where the split pattern is ours, does not. */
  constructor(exact: EncodingEngine, raw?: EncodingEngine) {
    this.#exact = exact;
    this.#cache = raw === undefined ? undefined : new PieceCache(raw);
  }

  /** Ids of each text; lone surrogates become U+FFFD. */
  async encodeBatch(texts: readonly string[]): Promise<Int32Array[]> {
    const partsOf: Int32Array[][] = texts.map(() => []);
    let blocks: string[] = [];
    let owners: number[] = [];
    let characters = 0;
    const run = async (): Promise<void> => {
      for (const [index, ids] of (await this.#encodeBlocks(blocks)).entries()) partsOf[owners[index]!]!.push(ids);
      blocks = [];
      owners = [];
      characters = 0;
    };
    for (const [owner, text] of texts.entries()) {
      for (const block of splitForEncoding(text.toWellFormed())) {
        blocks.push(block);
        owners.push(owner);
        characters += block.length;
        if (characters >= charactersPerRound) await run();
      }
    }
    await run();
    return partsOf.map(joinIds);
  }

  async #encodeBlocks(blocks: readonly string[]): Promise<Int32Array[]> {
    const cache = this.#cache;
    if (cache === undefined) return this.#exact.encodeAll(blocks);
    // Text that Node calls normal is normal by older Unicode too, so the package would leave it as it is. What is not
    // goes to the package, whose tables may differ for the newest characters.
    const isNormal = blocks.map((block) => block === block.normalize(normalizationForm));
    const cached = (await cache.encodeAll(blocks.filter((_, index) => isNormal[index]))).values();
    const others = (await this.#exact.encodeAll(blocks.filter((_, index) => !isNormal[index]))).values();
    return isNormal.map((normal) => (normal ? cached : others).next().value!);
  }
}
