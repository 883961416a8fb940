import type { ModelConfig } from "../../../src/model/config.ts";

/** The tiny model, reading as much as ten shots take. */
export const oracleConfig: Partial<ModelConfig> = { maxPositionEmbeddings: 8192 };
