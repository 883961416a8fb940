/** The body of POST /v1/embeddings. */
import { z } from "zod";
import { promptList } from "./prompt.ts";

export const embeddingRequest = z.object({
  model: z.string().optional(),
  input: promptList,
  encoding_format: z.enum(["float", "base64"]).default("float"),
  dimensions: z.int().min(1).optional(),
  cache_salt: z.string().max(256).optional(),
});
