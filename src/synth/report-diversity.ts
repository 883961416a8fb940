/** How varied texts are: distinct sequences of words, and how they lie in clusters. Of a sample of fixed size, so that sets compare. */
import { fmix32, hash32, type StreamKeys, streamKeys, uniform } from "../base/random.ts";
import { gramHashes, tokensOf } from "./filters/shingles.ts";

export type Cluster = { size: number; words: string[]; example: string };

export type DiversityReport = {
  texts: number;
  /** Share of the 1-, 2- and 3-grams of the sample that are different ones. */
  distinct: { length: number; share: number; grams: number }[];
  /** Mean cosine distance of texts to the center of their cluster, and of the texts to the center of all: 0 is all the same. */
  spreadInClusters: number;
  spread: number;
  /** How many equally large clusters would be as even as these. */
  effectiveClusters: number;
  clusters: Cluster[];
};

const dimensions = 512;
const mostClusters = 16;
const rounds = 8;
const wordsShown = 6;

/** @param texts at least one; the same ones give the same report. */
export function reportDiversity(texts: readonly string[], seed: number): DiversityReport {
  const tokens = texts.map(tokensOf);
  const vectors = toVectors(tokens);
  const groups = cluster(vectors, Math.min(mostClusters, Math.ceil(texts.length / 8)), streamKeys(seed, "clusters"));
  const sizes = groups.map(({ members }) => members.length);
  const entropy = sizes.reduce((sum, size) => sum - (size / texts.length) * Math.log(size / texts.length), 0);
  const distances = groups.map(({ members, center }) => members.map((at) => 1 - dot(vectors[at]!, center)));
  const middle = centerOf(vectors);
  return {
    texts: texts.length,
    distinct: [1, 2, 3].map((length) => distinctGrams(tokens, length)),
    spreadInClusters: mean(distances.flat()),
    spread: mean(vectors.map((vector) => 1 - dot(vector, middle))),
    effectiveClusters: Math.exp(entropy),
    clusters: groups
      .map(({ members }, index) => ({
        size: members.length,
        words: typicalWords(
          members.map((at) => tokens[at]!),
          tokens,
        ),
        example: texts[members[smallest(distances[index]!)]!]!.slice(0, 200),
      }))
      .sort((a, b) => b.size - a.size),
  };
}

function distinctGrams(tokens: readonly string[][], length: number): DiversityReport["distinct"][number] {
  const seen = new Set<number>();
  let grams = 0;
  for (const text of tokens) {
    if (text.length < length) continue;
    for (const gram of gramHashes(text, { words: length, characters: length })) {
      seen.add(gram);
      grams += 1;
    }
  }
  return { length, grams, share: grams === 0 ? 0 : seen.size / grams };
}

/** Words hashed into a fixed number of places, weighted by how few texts have them; of length 1. */
function toVectors(tokens: readonly string[][]): Float64Array[] {
  const hashed = tokens.map((text) => [...new Set(gramHashes(text, { words: 1, characters: 2 }))]);
  const counts = new Map<number, number>();
  for (const grams of hashed) for (const gram of grams) counts.set(gram, (counts.get(gram) ?? 0) + 1);
  return hashed.map((grams) => {
    const vector = new Float64Array(dimensions);
    for (const gram of grams) {
      const sign = (gram & 1) === 0 ? 1 : -1;
      const place = fmix32(gram) % dimensions;
      vector[place]! += sign * Math.log(1 + tokens.length / counts.get(gram)!);
    }
    return normalize(vector);
  });
}

type Group = { members: number[]; center: Float64Array };

/** k-means on the sphere, from centers that are far from each other (k-means++). Empty groups are left out. */
function cluster(vectors: readonly Float64Array[], count: number, keys: StreamKeys): Group[] {
  let centers = firstCenters(vectors, count, keys);
  let groups: Group[] = [];
  for (let round = 0; round < rounds; round++) {
    groups = centers.map((center) => ({ members: [], center }));
    for (const [at, vector] of vectors.entries()) {
      groups[smallest(centers.map((center) => -dot(vector, center)))]!.members.push(at);
    }
    groups = groups.filter(({ members }) => members.length > 0);
    for (const group of groups) group.center = centerOf(group.members.map((at) => vectors[at]!));
    centers = groups.map(({ center }) => center);
  }
  return groups;
}

function firstCenters(vectors: readonly Float64Array[], count: number, keys: StreamKeys): Float64Array[] {
  const centers = [vectors[hash32(keys, 0) % vectors.length]!];
  const nearest = vectors.map((vector) => Math.max(0, 1 - dot(vector, centers[0]!)));
  while (centers.length < count) {
    let left = uniform(keys, centers.length) * nearest.reduce((sum, distance) => sum + distance ** 2, 0);
    const chosen = nearest.findIndex((distance) => {
      left -= distance ** 2;
      return left < 0;
    });
    if (chosen < 0) break;
    centers.push(vectors[chosen]!);
    for (const [at, vector] of vectors.entries())
      nearest[at] = Math.min(nearest[at]!, Math.max(0, 1 - dot(vector, vectors[chosen]!)));
  }
  return centers;
}

/** Words that the texts of a cluster have more often than all texts do. */
function typicalWords(members: readonly string[][], all: readonly string[][]): string[] {
  const [own, every] = [members, all].map(shareOfTexts) as [Map<string, number>, Map<string, number>];
  return [...own]
    .filter(([word, share]) => share >= 0.1 && word.length <= 30)
    .map(([word, share]) => ({ word, weight: share * Math.log(share / every.get(word)!) }))
    .sort((a, b) => b.weight - a.weight || (a.word < b.word ? -1 : 1))
    .slice(0, wordsShown)
    .map(({ word }) => word);
}

function shareOfTexts(texts: readonly string[][]): Map<string, number> {
  const shares = new Map<string, number>();
  for (const text of texts)
    for (const word of new Set(text)) shares.set(word, (shares.get(word) ?? 0) + 1 / texts.length);
  return shares;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < dimensions; i++) sum += a[i]! * b[i]!;
  return sum;
}

function normalize(vector: Float64Array): Float64Array {
  const length = Math.sqrt(dot(vector, vector));
  return length > 0 ? vector.map((value) => value / length) : vector;
}

function centerOf(vectors: readonly Float64Array[]): Float64Array {
  const sum = new Float64Array(dimensions);
  for (const vector of vectors) for (let i = 0; i < dimensions; i++) sum[i]! += vector[i]!;
  return normalize(sum);
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1);

function smallest(values: readonly number[]): number {
  let best = 0;
  for (let at = 1; at < values.length; at++) if (values[at]! < values[best]!) best = at;
  return best;
}
