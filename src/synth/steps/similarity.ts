/** How alike two short texts are, in any script. */

const gramLength = 3;

/** Share of the runs of three letters or digits that two texts have in common (Jaccard), from 0 to 1. */
export function similarity(a: string, b: string): number {
  const [ofA, ofB] = [gramsOf(a), gramsOf(b)];
  const common = ofA.intersection(ofB).size;
  const all = ofA.size + ofB.size - common;
  return all === 0 ? 1 : common / all;
}

/** Letters and digits alone, without case and width. */
export function plainText(text: string): string {
  return text
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[^\p{Letter}\p{Number}]+/gu, "");
}

function gramsOf(text: string): Set<string> {
  const characters = [...plainText(text)];
  const count = Math.max(1, characters.length - gramLength + 1);
  return new Set(Array.from({ length: count }, (_, at) => characters.slice(at, at + gramLength).join("")));
}
