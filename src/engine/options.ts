/** What a user can say about an engine. */
import { availableParallelism } from "node:os";
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import type { ModelConfig } from "../model/config.ts";
import { type CacheType, pageTokens } from "../tensor/ops/paged-attention.ts";
import type { ComputeType } from "../tensor/tensor.ts";
import { cacheBytesPerToken } from "./pages.ts";
import { type KeyValueCacheType, keyValueCacheTypes } from "./request.ts";

export const engineOptionsSchema = z.strictObject({
  computeType: z.enum(["bf16", "f32"]).default("bf16").describe("the type to compute in"),
  threads: z.int().min(1).max(256).optional().describe("threads to compute with; by default one a core"),
  maxModelLength: z
    .int()
    .min(1)
    .max(2 ** 24)
    .optional()
    .describe("most tokens of a prompt and its answer together; by default what the model was made for"),
  keyValueCacheType: z
    .enum(keyValueCacheTypes)
    .default("bf16")
    .describe("how the cache keeps keys and values: as they are computed, or in 8 bits for twice the room"),
  cacheBytes: z
    .int()
    .min(1)
    .optional()
    .describe("memory for the cache; by default a quarter of what is free, and no more than all texts can need"),
  maxBatch: z.int().min(1).max(1024).default(64).describe("texts that are written at once"),
  prefillTokens: z
    .int()
    .min(1)
    .max(65_536)
    .default(512)
    .describe("tokens of prompts that are read in one step; four times as many while no text is being written"),
  queueLimit: z.int().min(0).max(65_536).default(256).describe("requests that may wait; more are refused"),
});

export type EngineOptions = z.output<typeof engineOptionsSchema>;
export type EngineOptionsInput = z.input<typeof engineOptionsSchema>;

/** What an engine is set up with, once the model is known. */
export type EngineSettings = Pick<EngineOptions, "maxBatch" | "prefillTokens" | "queueLimit" | "keyValueCacheType"> & {
  maxModelLength: number;
  pages: number;
};

export function threadsOf({ threads }: Pick<EngineOptions, "threads">): number {
  return threads ?? availableParallelism();
}

/** What the cache of an engine is made of: "bf16" keeps whatever type is computed in. */
export function cacheTypeOf(computeType: ComputeType, type: KeyValueCacheType): CacheType {
  return type === "fp8" ? "fp8" : computeType;
}

/** @throws RookeryError INVALID_OPTION for a cache that does not hold the longest text. */
export function settleOptions(options: EngineOptions, config: ModelConfig): EngineSettings {
  const { maxBatch, prefillTokens, queueLimit, keyValueCacheType, computeType } = options;
  const maxModelLength = options.maxModelLength ?? config.maxPositionEmbeddings;
  const pagesPerText = Math.ceil(maxModelLength / pageTokens);
  const pageBytes = pageTokens * cacheBytesPerToken(config, cacheTypeOf(computeType, keyValueCacheType));
  const asked = options.cacheBytes ?? Math.max(process.availableMemory() / 4, pagesPerText * pageBytes);
  const pages = Math.min(Math.floor(asked / pageBytes), maxBatch * pagesPerText);
  if (pages < pagesPerText) {
    throw new RookeryError(
      "INVALID_OPTION",
      `cacheBytes ${asked} holds ${pages * pageTokens} tokens, a text may have ${maxModelLength}`,
      `give at least ${pagesPerText * pageBytes} bytes, or lower maxModelLength`,
    );
  }
  return { maxBatch, prefillTokens, queueLimit, keyValueCacheType, maxModelLength, pages };
}
