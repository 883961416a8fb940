/** What serving takes: the cache of keys and values by mechanism and precision, and how many streams or how long a text fit. */
import { account } from "../model/accounting.ts";
import { type ModelConfig, numKeyValueGroups } from "../model/config.ts";
import type { Accelerator } from "./accelerators.ts";

export const cacheMechanisms = ["MHA", "GQA", "CLA", "GQA+CLA"] as const;
export type CacheMechanism = (typeof cacheMechanisms)[number];
export const servingTypes = ["bf16", "fp8"] as const;
export type ServingType = (typeof servingTypes)[number];

export type ServingRow = {
  mechanism: CacheMechanism;
  cacheType: ServingType;
  cacheBytesPerToken: number;
  /** Of multi-head attention's in bf16. */
  shareOfMultiHead: number;
  /** Tokens that fit beside the weights, in all: the longest single text. */
  tokensPerReplica: number;
  /** Texts at once, by their length in tokens. */
  streams: { contextTokens: number; perReplica: number; perDevice: number }[];
};

export type Serving = { weightType: ServingType; weightBytes: number; devices: number; rows: ServingRow[] };

export const servedContexts = [8192, 32_768, 131_072, 262_144] as const;

const usableShare = 0.9;
const bytesOf: Record<ServingType, number> = { bf16: 2, fp8: 1 };

/** KV bytes a token (report table 2). The model's own sharing factors, or none where the mechanism has none. */
export function cacheBytesPerToken(config: ModelConfig, mechanism: CacheMechanism, type: ServingType): number {
  const heads = mechanism.includes("GQA") ? config.numKeyValueHeads : config.numAttentionHeads;
  const groups = mechanism.includes("CLA") ? numKeyValueGroups(config) : config.numHiddenLayers;
  return 2 * bytesOf[type] * heads * config.headDim * groups;
}

/** A replica takes the fewest devices (a power of two) that leave the cache a fifth of their memory. */
export function planServing(config: ModelConfig, accelerator: Accelerator, weightType: ServingType): Serving {
  const weightBytes = account(config).parameters.total * bytesOf[weightType];
  const usable = usableShare * accelerator.memoryBytes;
  let devices = 1;
  while (devices * usable < 1.25 * weightBytes) devices *= 2;
  const room = devices * usable - weightBytes;
  const whole = cacheBytesPerToken(config, "MHA", "bf16");
  const rows = cacheMechanisms.flatMap((mechanism) =>
    servingTypes.map((cacheType): ServingRow => {
      const bytes = cacheBytesPerToken(config, mechanism, cacheType);
      const streams = servedContexts.map((contextTokens) => {
        const perReplica = Math.floor(room / (bytes * contextTokens));
        return { contextTokens, perReplica, perDevice: perReplica / devices };
      });
      return {
        mechanism,
        cacheType,
        cacheBytesPerToken: bytes,
        shareOfMultiHead: bytes / whole,
        tokensPerReplica: Math.floor(room / bytes),
        streams,
      };
    }),
  );
  return { weightType, weightBytes, devices, rows };
}
