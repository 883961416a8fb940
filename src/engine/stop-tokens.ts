import { controlText } from "../text/pattern.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** Token ids that end a text: those of the model's generation settings, and the control tokens that end documents and answers. */
export function stopTokenIds(tokenizer: Tokenizer, eosTokenIds: readonly number[]): number[] {
  const named = [controlText.endOfText, controlText.eos].map((text) => tokenizer.specialTokens.get(text));
  return [...new Set([...eosTokenIds, ...named.filter((id) => id !== undefined)])];
}
