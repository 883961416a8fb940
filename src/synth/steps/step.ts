/** What the steps share: whom they ask, and how what goes wrong with a request becomes the reason of a rejection. */
import type { z } from "zod";
import { endsTheWork } from "../../endpoint/client.ts";
import { EndpointFailure } from "../../endpoint/failure.ts";
import type { ChatMessage } from "../../endpoint/wire.ts";
import type { SynthOptions } from "../options.ts";
import type { Cost, Rejection, SynthStep } from "../record.ts";
import type { Role, Roles } from "../roles.ts";

export type StepContext = { options: SynthOptions; roles: Roles; signal: AbortSignal | undefined };

/** Of the request that something came from. */
export type Provenance = { model: string; requestHash: string; cost: Cost };

export type JsonRequest<Value> = {
  messages: readonly ChatMessage[];
  schema: z.ZodType<Value>;
  maxTokens: number;
  temperature: number;
  seed: number;
};

/** Asks a role for JSON. @throws as `EndpointClient.chatJson` does. */
export async function askJson<Value>(
  { client, model }: Role,
  { messages, schema, maxTokens, temperature, seed }: JsonRequest<Value>,
  signal: AbortSignal | undefined,
): Promise<{ value: Value; from: Provenance }> {
  const request = { model, messages, max_tokens: maxTokens, temperature, seed };
  const { value, requestHash, usage } = await client.chatJson(request, schema, signal);
  return { value, from: { model, requestHash, cost: usage } };
}

/**
 * The reason for which a request's failure sorts its record out.
 * @throws what is no failure of this request alone: what ends the work, a passing failure that a later session may not meet, and
 * everything that is no failure of an endpoint.
 */
export function rejectionOf(error: unknown, step: SynthStep): Rejection {
  if (!(error instanceof EndpointFailure) || endsTheWork(error) || error.kind === "passing") throw error;
  const isCut = error.kind === "malformed" && /cut off/.test(error.message);
  return { step, reason: isCut ? "truncated" : error.kind, detail: error.message };
}
