/** Likelihoods of texts from likelihoods of tokens: what models have in common whose tokenizer is known. */
import { joinIds } from "../text/ids.ts";
import type { EvalModel, GeneratedText, GenerationRequest, Likelihood, RollingToken, TokenScore } from "./model.ts";

export abstract class TokenizedModel implements EvalModel {
  abstract readonly name: string;
  abstract readonly maxLength: number;
  abstract readonly concurrency: number;
  /** Stands before what has no context: nothing predicts a text's first token. */
  protected abstract readonly prefixToken: number;

  abstract encode(texts: readonly string[]): Promise<Int32Array[]>;
  /** Scores of `tokens` from number `from` ≥ 1 on. */
  protected abstract score(tokens: Int32Array, from: number, signal: AbortSignal | undefined): Promise<TokenScore[]>;
  /** Bytes of text of each token. */
  protected abstract bytesOf(tokens: Int32Array): Int32Array | Promise<Int32Array>;
  abstract generate(request: GenerationRequest, signal?: AbortSignal): Promise<GeneratedText>;
  abstract prefixStats(): Promise<{ promptTokens: number; cachedTokens: number } | null>;
  abstract close(): Promise<void>;

  /** Room for one generated token is kept, as servers need it that score only while they generate: lm-eval does so, too. */
  get #longest(): number {
    return this.maxLength - 1;
  }

  async likelihood(context: string, continuation: string, signal?: AbortSignal): Promise<Likelihood> {
    const { context: before, continuation: after } = moveSpaces(context, continuation);
    const [whole, head] = (await this.encode(before === "" ? [after] : [before + after, before])) as [
      Int32Array,
      Int32Array?,
    ];
    const contextTokens = head ?? Int32Array.of(this.prefixToken);
    const tail = head ? whole.subarray(head.length) : whole;
    const tokens = joinIds([contextTokens, tail]);
    const cutTokens = Math.max(0, tokens.length - this.#longest);
    const from = Math.max(1, contextTokens.length - cutTokens);
    const scores = await this.score(tokens.subarray(cutTokens), from, signal);
    return {
      logprob: scores.reduce((sum, { logprob }) => sum + logprob, 0),
      isGreedy: scores.every(({ isLikeliest }) => isLikeliest),
      tokens: tail.length,
      cutTokens,
    };
  }

  async rolling(
    text: string,
    { windowTokens = Number.POSITIVE_INFINITY }: { windowTokens?: number },
    signal?: AbortSignal,
  ): Promise<RollingToken[]> {
    const [tokens] = (await this.encode([text])) as [Int32Array];
    const all: RollingToken[] = [];
    for (const { input, from } of windowsOf(tokens, this.prefixToken, Math.min(this.#longest, windowTokens) - 1)) {
      const scores = await this.score(input, from, signal);
      const bytes = await this.bytesOf(input.subarray(from));
      scores.forEach((score, at) => void all.push({ ...score, position: from + at, bytes: bytes[at]! }));
    }
    return all;
  }
}

/** Spaces at the end of a context belong to what follows: tokens begin with a space rather than end with one. */
export function moveSpaces(context: string, continuation: string): { context: string; continuation: string } {
  const trimmed = context.trimEnd();
  return { context: trimmed, continuation: context.slice(trimmed.length) + continuation };
}

/**
 * Windows over a long text in which each token is predicted once, as lm-eval lays them: the first begins with the prefix token,
 * each later one with the last token of the one before; the last is filled up with context on its left.
 * @param length most tokens that a window predicts.
 */
export function* windowsOf(
  tokens: Int32Array,
  prefixToken: number,
  length: number,
): Generator<{ input: Int32Array; from: number }> {
  const whole = joinIds([Int32Array.of(prefixToken), tokens]);
  for (let done = 0; done < tokens.length; done += length) {
    const end = Math.min(done + length, tokens.length);
    const start = done === 0 ? 0 : end - length;
    yield { input: whole.subarray(start, end + 1), from: done - start + 1 };
  }
}
