/** Slow f64 twins of loss.c. */

/** out [tokens, columns] = the rows `ids` of table [vocabulary, columns]. */
export function embeddingForward(ids: ArrayLike<number>, table: Float64Array, columns: number): Float64Array {
  const out = new Float64Array(ids.length * columns);
  for (let t = 0; t < ids.length; t++) {
    for (let i = 0; i < columns; i++) out[t * columns + i] = table[ids[t]! * columns + i]!;
  }
  return out;
}

/** tableGradient with dout [tokens, columns] added to its rows `ids`. */
export function embeddingBackward(
  ids: ArrayLike<number>,
  dout: Float64Array,
  tableGradient: Float64Array,
  columns: number,
): Float64Array {
  const result = tableGradient.slice();
  for (let t = 0; t < ids.length; t++) {
    for (let i = 0; i < columns; i++) result[ids[t]! * columns + i]! += dout[t * columns + i]!;
  }
  return result;
}

/** Losses [rows] and scale · (softmax − one-hot) [rows, vocabulary] of logits [rows, vocabulary]. */
export function crossEntropy(
  logits: Float64Array,
  targets: ArrayLike<number>,
  vocabulary: number,
  scale: number,
): { losses: Float64Array; dlogits: Float64Array } {
  const losses = new Float64Array(targets.length);
  const dlogits = new Float64Array(logits.length);
  for (let r = 0; r < targets.length; r++) {
    const target = targets[r]!;
    if (target === -1) continue;
    const row = logits.subarray(r * vocabulary, (r + 1) * vocabulary);
    const maximum = Math.max(...row);
    const sum = row.reduce((total, x) => total + Math.exp(x - maximum), 0);
    losses[r] = Math.log(sum) + maximum - row[target]!;
    for (let i = 0; i < vocabulary; i++) {
      dlogits[r * vocabulary + i] = scale * (Math.exp(row[i]! - maximum) / sum - (i === target ? 1 : 0));
    }
  }
  return { losses, dlogits };
}
