/** Attention to a KV cache that lies in pages, and the writing of new tokens into it. Nothing here is recorded. */
import {
  attentionForwardScratchBytes,
  attentionPaged,
  cacheWrite,
  keyBlock,
} from "../../kernels/bindings/attention.ts";
import { cacheDtypeCodes } from "../../kernels/bindings/declare.ts";
import type { Execution } from "../execution.ts";
import type { ComputeType, Tensor } from "../tensor.ts";
import type { AttentionShape } from "./attention.ts";

/** Tokens of a page. */
export const pageTokens: number = keyBlock;

export type CacheType = ComputeType | "fp8";

/** k̂ and v of a group of layers, [pages, keyValueHeads, pageTokens, headDim] each; what fp8 ones were divided by, else 1. */
export type PagedKeysAndValues = { keys: Tensor; values: Tensor; keyScale: number; valueScale: number };

/** Row r of key and value goes to token places[r] % pageTokens of page places[r] / pageTokens. places int32 [rows], none twice. */
export function writePages(
  { pool }: Execution,
  key: Tensor,
  value: Tensor,
  places: Tensor,
  cache: PagedKeysAndValues,
): void {
  cacheWrite({
    pool,
    dtype: key.dtypeCode,
    k: key,
    v: value,
    places,
    cacheDtype: cacheDtypeCodes[cache.keys.dtype as CacheType],
    keyCache: cache.keys,
    valueCache: cache.values,
    rows: key.size(0),
    pages: cache.keys.size(0),
    kvHeads: cache.keys.size(1),
    headDim: cache.keys.size(3),
    keyScale: cache.keyScale,
    valueScale: cache.valueScale,
  });
}

/**
 * softmax(q kᵀ / √headDim) v of each sequence with its pages; the bits are those of `attention` over the same rows.
 * q [queryRows, heads · headDim].
 * @param table int32 [entries]: numbers of pages.
 * @param sequences int32 [count, 4] = {query row, queries, first entry, keys}; an entry for each `pageTokens` keys.
 * @returns [queryRows, heads · headDim].
 */
export function pagedAttention(
  { arena, pool }: Execution,
  q: Tensor,
  cache: PagedKeysAndValues,
  table: Tensor,
  sequences: Tensor,
  shape: AttentionShape,
): Tensor {
  const out = arena.tensor(q.dtype, ...q.shape);
  const { headDim } = shape;
  const dtype = q.dtypeCode;
  const count = sequences.size(0);
  using scratch = arena.scratch(attentionForwardScratchBytes({ dtype, headDim, count, threads: pool.threads }));
  attentionPaged({
    pool,
    dtype,
    q,
    cacheDtype: cacheDtypeCodes[cache.keys.dtype as CacheType],
    k: cache.keys,
    v: cache.values,
    pages: cache.keys.size(0),
    table,
    entries: table.elements,
    sequences,
    count,
    out,
    queryRows: q.size(0),
    heads: shape.heads,
    kvHeads: shape.keyValueHeads,
    headDim,
    scale: cache.keyScale / Math.sqrt(headDim),
    valueScale: cache.valueScale,
    scratch: scratch.tensor,
  });
  return out;
}
