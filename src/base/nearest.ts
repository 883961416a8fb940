const longestCompared = 64;

/**
 * Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`: the optimal string alignment distance.
 */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = previous[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      let best = Math.min(replaced, previous[column]! + 1, current[column - 1]! + 1);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        best = Math.min(best, beforePrevious[column - 2]! + 1);
      }
      current.push(best);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length]!;
}

/**
 * The candidate that a person who wrote `word` most likely meant, or undefined when none is close.
 * Case and the difference between `-`, `_` and camelCase do not count; a candidate that starts with `word` is close.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  const plain = simplify(word);
  if (plain.length === 0 || plain.length > longestCompared) return undefined;
  const allowed = Math.ceil(plain.length / 3);
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of candidates) {
    const other = simplify(candidate);
    if (other.length > longestCompared) continue;
    const startsWithWord = plain.length >= 3 && other.startsWith(plain);
    const distance = startsWithWord ? Math.min(1, other.length - plain.length) : editDistance(plain, other);
    if (distance <= allowed && (best === undefined || distance < best.distance)) best = { candidate, distance };
  }
  return best?.candidate;
}

/** Hint for an unknown name: the nearest known one, or else all of them when they are few. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  const guess = nearest(word, candidates);
  if (guess !== undefined) return `did you mean "${guess}"?`;
  if (candidates.length === 0) return "nothing can be set here";
  const shown = candidates.slice(0, 12).join(", ");
  return `known: ${shown}${candidates.length > 12 ? ", …" : ""}`;
}

function simplify(name: string): string {
  return name.toLowerCase().replace(/[-_\s]/g, "");
}
