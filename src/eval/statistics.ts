/** Means of scores and how sure they are. */

export type Estimate = { value: number; standardError: number };

/** The mean, and the sample's standard deviation over √n; 0 for a single value. */
export function meanOf(values: readonly number[]): Estimate {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, count);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { value: mean, standardError: count > 1 ? Math.sqrt(squares / (count - 1) / count) : 0 };
}

/** Of all values in groups together: the mean over items, and the standard error from the spread within the groups. */
export function pooledMean(groups: readonly (readonly number[])[]): Estimate {
  if (groups.length === 1) return meanOf(groups[0]!);
  const count = groups.reduce((sum, group) => sum + group.length, 0);
  const value = groups.reduce((sum, group) => sum + meanOf(group).value * (group.length / count), 0);
  const variance = groups.reduce((sum, group) => {
    const { standardError } = meanOf(group);
    return sum + (group.length - 1) * standardError ** 2 * group.length;
  }, 0);
  return { value, standardError: count > groups.length ? Math.sqrt(variance / (count - groups.length) / count) : 0 };
}
