/** Conversations as token ids, with the targets that the assistant's words are. */
import type { ChatMessage } from "../text/chat-template.ts";
import { encodeChat } from "../text/chat-template.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** A text to learn from. Both [length]. */
export type Sample = {
  tokens: Int32Array;
  /** The next token where the assistant is to learn it, else −1. */
  targets: Int32Array;
};

/**
 * Targets are the tokens of the assistant's turns and the `<|eos|>` that ends each, and nothing else. The official code counts from
 * `<|extra_0|>` on, which ends the user's turn: a model of it learns to end the user's turns, too.
 */
export function sampleOf(ids: Int32Array, assistantMask: Uint8Array): Sample {
  const targets = new Int32Array(ids.length).fill(-1);
  for (let i = 0; i + 1 < ids.length; i++) if (assistantMask[i + 1] === 1) targets[i] = ids[i + 1]!;
  return { tokens: ids, targets };
}

export async function encodeSample(tokenizer: Tokenizer, messages: readonly ChatMessage[]): Promise<Sample> {
  const { ids, assistantMask } = await encodeChat(tokenizer, messages);
  return sampleOf(ids, assistantMask);
}

/** One answer to a prompt: only the last turn is learnt, whoever wrote the turns before it. */
export async function encodeAnswer(
  tokenizer: Tokenizer,
  prompt: readonly ChatMessage[],
  answer: string,
): Promise<Sample> {
  const { tokens, targets } = await encodeSample(tokenizer, [...prompt, { role: "assistant", content: answer }]);
  const { ids } = await encodeChat(tokenizer, prompt);
  targets.fill(-1, 0, ids.length - 1);
  return { tokens, targets };
}

export function countTargets({ targets }: Sample): number {
  return targets.reduce((count, target) => count + (target >= 0 ? 1 : 0), 0);
}

/** What stands before the answer of a sample. */
export function promptOf({ tokens, targets }: Sample): Int32Array {
  return tokens.slice(0, targets.findIndex((target) => target >= 0) + 1);
}

/** An answer as it was sampled, after its prompt; the token that ends it is learnt where it came to its end. */
export function sampledSample(
  prompt: Int32Array,
  { tokens: answer, reason }: { tokens: readonly number[]; reason: "stop" | "length" },
  eosToken: number,
): Sample {
  const tokens = Int32Array.of(...prompt, ...answer, ...(reason === "stop" ? [eosToken] : []));
  const targets = new Int32Array(tokens.length).fill(-1);
  for (let i = prompt.length; i < tokens.length; i++) targets[i - 1] = tokens[i]!;
  return { tokens, targets };
}
