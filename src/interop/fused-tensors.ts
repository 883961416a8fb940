import { quoteForMessage } from "../base/files.ts";
import { noSuchTensor, type TensorInfo, TensorSource } from "../formats/safetensors.ts";
import { damaged, tensorBytes } from "../formats/safetensors-header.ts";
import type { ModelConfig } from "../model/config.ts";

// Some files hold several tensors of the state dict in one (interop §1.2, §2):
//   self_attn.qkv_proj.weight    for each KV head its query heads, its key, its value (Hunyuan-7B of January 2025)
//   …gate_and_up_proj.weight     up above gate (the same)
//   mlp.experts.gate_up_proj     all experts, in each gate above up (transformers 5 in memory)
//   mlp.experts.down_proj        all experts (the same)
// Each tensor that is wanted is some rows of one of those, so it is read from there, and nothing is ever rearranged.

/** `rows` rows of `from`, seen as [all its rows, columns]. */
type RowRange = { from: string; firstRow: number; rows: number };

/** Whether a stored tensor holds several tensors of the state dict. */
export function isFusedName(name: string): boolean {
  return /\.(qkv_proj|gate_and_up_proj)\.weight$|\.experts\.(gate_up_proj|down_proj)$/.test(name);
}

/**
 * The same source with the tensors of the state dict in place of those that hold several of them. `expected` are the names
 * and shapes wanted; `where` names the files in errors. Closing it closes `source`. Throws FILE_DAMAGED for a fused tensor
 * whose shape does not fit.
 */
export function splitFused(
  source: TensorSource,
  expected: ReadonlyMap<string, readonly number[]>,
  config: ModelConfig,
  where: string,
): TensorSource {
  if (![...source.tensors.keys()].some(isFusedName)) return source;
  const ranges = new Map<string, readonly RowRange[]>();
  const tensors = new Map(source.tensors);
  for (const [name, shape] of expected) {
    if (source.tensors.has(name)) continue;
    const fused = placeOf(name, config, source.tensors);
    if (fused === null) continue;
    const stored = source.tensors.get(fused.from)!;
    if (stored.shape.join() !== fused.shape.join()) {
      throw damaged(
        where,
        `tensor ${quoteForMessage(fused.from)} is [${stored.shape.join(", ")}] instead of [${fused.shape.join(", ")}]`,
      );
    }
    tensors.delete(fused.from);
    tensors.set(name, { name, dtype: stored.dtype, shape, byteLength: tensorBytes(stored.dtype, shape) ?? 0 });
    ranges.set(name, fused.ranges);
  }
  return new SplitTensors(source, tensors, ranges, where);
}

/** Where a tensor lies in a fused one, and the shape that the fused one must have; null when there is none. */
function placeOf(
  name: string,
  config: ModelConfig,
  stored: ReadonlyMap<string, TensorInfo>,
): { from: string; shape: readonly number[]; ranges: readonly RowRange[] } | null {
  const { hiddenSize: hidden, intermediateSize, headDim, numAttentionHeads, numKeyValueHeads, numExperts } = config;
  const one = (from: string, firstRow: number, rows: number): readonly RowRange[] => [{ from, firstRow, rows }];

  const attention = /^(.*\.self_attn\.)([qkv])_proj\.weight$/.exec(name);
  if (attention !== null) {
    const from = `${attention[1]}qkv_proj.weight`;
    if (!stored.has(from)) return null;
    const queries = numAttentionHeads / numKeyValueHeads;
    const [first, heads] = { q: [0, queries], k: [queries, 1], v: [queries + 1, 1] }[
      attention[2] as "q" | "k" | "v"
    ] as [number, number];
    const ranges = Array.from({ length: numKeyValueHeads }, (_, group) => {
      return { from, firstRow: (group * (queries + 2) + first) * headDim, rows: heads * headDim };
    });
    return { from, shape: [(numAttentionHeads + 2 * numKeyValueHeads) * headDim, hidden], ranges };
  }

  const expert = /^(.*\.experts\.)(\d+)\.(gate|up|down)_proj\.weight$/.exec(name);
  if (expert !== null) {
    const [, prefix = "", index = "", part] = expert;
    const width = intermediateSize;
    const from = `${prefix}${part === "down" ? "down_proj" : "gate_up_proj"}`;
    if (stored.has(from)) {
      if (part === "down") {
        return { from, shape: [numExperts, hidden, width], ranges: one(from, Number(index) * hidden, hidden) };
      }
      const firstRow = (2 * Number(index) + (part === "up" ? 1 : 0)) * width;
      return { from, shape: [numExperts, 2 * width, hidden], ranges: one(from, firstRow, width) };
    }
  }

  const gated = /^(.*\.)(gate|up)_proj\.weight$/.exec(name);
  if (gated !== null) {
    const from = `${gated[1]}gate_and_up_proj.weight`;
    if (!stored.has(from)) return null;
    const isShared = name.includes(".shared_mlp.");
    const width = isShared ? intermediateSize * config.numSharedExperts : intermediateSize;
    return { from, shape: [2 * width, hidden], ranges: one(from, gated[2] === "up" ? 0 : width, width) };
  }
  return null;
}

class SplitTensors extends TensorSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #source: TensorSource;
  readonly #ranges: ReadonlyMap<string, readonly RowRange[]>;
  readonly #where: string;

  constructor(
    source: TensorSource,
    tensors: ReadonlyMap<string, TensorInfo>,
    ranges: ReadonlyMap<string, readonly RowRange[]>,
    where: string,
  ) {
    super();
    this.#source = source;
    this.tensors = tensors;
    this.#ranges = ranges;
    this.#where = where;
  }

  readInto(name: string, destination: Uint8Array, byteOffset = 0): void {
    for (const { from, piece, at } of this.#pieces(name, destination, byteOffset))
      this.#source.readInto(from, piece, at);
  }

  async readIntoAsync(name: string, destination: Uint8Array, byteOffset = 0): Promise<void> {
    for (const { from, piece, at } of this.#pieces(name, destination, byteOffset))
      await this.#source.readIntoAsync(from, piece, at);
  }

  close(): void {
    this.#source.close();
  }

  /** Which bytes of which stored tensor make up `destination`. */
  #pieces(
    name: string,
    destination: Uint8Array,
    byteOffset: number,
  ): { from: string; piece: Uint8Array; at: number }[] {
    const info = this.tensors.get(name);
    if (info === undefined) throw noSuchTensor(this.#where, name);
    const ranges = this.#ranges.get(name);
    if (ranges === undefined) return [{ from: name, piece: destination, at: byteOffset }];
    const end = byteOffset + destination.byteLength;
    if (!Number.isSafeInteger(byteOffset) || byteOffset < 0 || end > info.byteLength)
      throw new RangeError(`bytes ${byteOffset} to ${end} of ${quoteForMessage(name)} were asked for`);
    const rowBytes = info.byteLength / info.shape[0]!;
    const pieces = [];
    let rangeStart = 0;
    for (const { from, firstRow, rows } of ranges) {
      const rangeEnd = rangeStart + rows * rowBytes;
      const [first, last] = [Math.max(byteOffset, rangeStart), Math.min(end, rangeEnd)];
      if (first < last) {
        const piece = destination.subarray(first - byteOffset, last - byteOffset);
        pieces.push({ from, piece, at: firstRow * rowBytes + first - rangeStart });
      }
      rangeStart = rangeEnd;
    }
    return pieces;
  }
}
