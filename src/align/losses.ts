/** The losses of preferences, with their gradients: on a few numbers a text, so they are plain arithmetic in f64. */

/** log σ(x), exact far from 0 too. */
export function logSigmoid(x: number): number {
  return Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
}

export function sigmoid(x: number): number {
  return x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
}

/** −log σ(chosen − rejected) (Bradley and Terry, 1952), and its gradient by the chosen score; by the rejected it is the opposite. */
export function rewardLoss(chosen: number, rejected: number): { loss: number; gradient: number } {
  const margin = chosen - rejected;
  return { loss: -logSigmoid(margin), gradient: -sigmoid(-margin) };
}

/** Log-probabilities of both answers, by the policy and by the reference, summed over the tokens that count. */
export type PairLogProbabilities = {
  policy: { chosen: number; rejected: number };
  reference: { chosen: number; rejected: number };
};

/**
 * −log σ(β · ((π_c − ref_c) − (π_r − ref_r))) (Rafailov et al., 2023), and its gradient by the policy's log-probability of the
 * chosen answer; by that of the rejected it is the opposite.
 */
export function dpoLoss(
  { policy, reference }: PairLogProbabilities,
  beta: number,
): { loss: number; gradient: number; margin: number } {
  const margin = beta * (policy.chosen - reference.chosen - (policy.rejected - reference.rejected));
  return { loss: -logSigmoid(margin), gradient: -beta * sigmoid(-margin), margin };
}
