/** Log-probabilities of tokens, over the whole vocabulary. */
import { RookeryError } from "../base/errors.ts";
import { sampleScratchBytes, tokenLogprobs } from "../kernels/bindings/sample.ts";
import type { Execution } from "../tensor/execution.ts";
import { logits as headLogits } from "../tensor/ops/linear.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { TokenLogprobs } from "./request.ts";
import type { TokenMask } from "./sampling.ts";

/**
 * Of each row of logits f32 [rows, vocabulary] the log-probability of its target, and the `top` likeliest tokens that the mask
 * permits. Rows whose target is negative have none.
 * @throws RookeryError NON_FINITE for logits that are no numbers.
 */
export function logprobsOfRows(
  execution: Execution,
  logits: Tensor,
  targets: Int32Array,
  top: number,
  drawable: TokenMask,
): (TokenLogprobs | undefined)[] {
  if (targets.every((target) => target < 0)) return Array.from(targets, () => undefined);
  const { arena, pool } = execution;
  const [rows, vocabulary] = [logits.size(0), logits.size(1)];
  const most = Math.min(top, vocabulary);
  return arena.scope(
    () => {
      const logprobs = arena.tensor("f32", rows);
      const topIds = arena.tensor("i32", rows, most);
      const topLogprobs = arena.tensor("f32", rows, most);
      using scratch = arena.scratch(sampleScratchBytes({ vocabulary, threads: pool.threads }));
      tokenLogprobs({
        pool,
        logits,
        rows,
        vocabulary,
        mask: arena.integers(drawable),
        targets: arena.integers(targets.map((target) => Math.max(target, -1))),
        top: most,
        logprobs,
        topIds,
        topLogprobs,
        scratch: scratch.tensor,
      });
      const [own, ids, likely] = [logprobs.toFloat32Array(), topIds.toInt32Array(), topLogprobs.toFloat32Array()];
      return Array.from(targets, (token, row): TokenLogprobs | undefined => {
        if (token < 0) return undefined;
        if (Number.isNaN(own[row])) throw notFinite();
        const found = Array.from(ids.subarray(row * most, (row + 1) * most), (id, at) => {
          return { token: id, logprob: likely[row * most + at]! };
        });
        return { token, logprob: own[row]!, top: found.filter((one) => one.token >= 0) };
      });
    },
    () => [],
  );
}

/** Logits of a prompt are made for this many rows at a time: they are large. */
const promptRowsAtOnce = 64;

/**
 * Log-probabilities of `targets`, the tokens that came after each row of the last hidden states [rows, hiddenSize].
 * @param top how many of the likeliest tokens are told beside it.
 * @throws RookeryError NON_FINITE for logits that are no numbers.
 */
export function promptLogprobs(
  execution: Execution,
  hidden: Tensor,
  head: Parameter,
  targets: Int32Array,
  top: number,
  drawable: TokenMask,
): TokenLogprobs[] {
  const all: TokenLogprobs[] = [];
  for (let start = 0; start < targets.length; start += promptRowsAtOnce) {
    const chunk = targets.subarray(start, start + promptRowsAtOnce);
    const found = execution.arena.scope(
      () => {
        const logits = headLogits(execution, hidden.rows(start, chunk.length), head);
        return logprobsOfRows(execution, logits, chunk, top, drawable);
      },
      () => [],
    );
    for (const one of found) if (one) all.push(one);
  }
  return all;
}

function notFinite(): RookeryError {
  return new RookeryError(
    "NON_FINITE",
    "the model's logits are not finite",
    "its weights are damaged: take another model",
  );
}
