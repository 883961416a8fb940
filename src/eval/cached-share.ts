/**
 * The share of the prompts' tokens that a cached prefix saved, of the answers whose model tells; null where none does.
 */
export function cachedShareOf(
  answers: readonly { promptTokens: number; cachedTokens: number | null }[],
): number | null {
  let [prompts, cached] = [0, 0];
  for (const { promptTokens, cachedTokens } of answers) {
    if (cachedTokens === null) continue;
    prompts += promptTokens;
    cached += cachedTokens;
  }
  return prompts === 0 ? null : cached / prompts;
}
