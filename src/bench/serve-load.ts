/** A load of so many clients at once, and what they saw. */
import { RookeryError } from "../base/errors.ts";
import { hash32, streamKeys } from "../base/random.ts";
import type { LoadTarget } from "./serve-target.ts";
import { median, type Spread, spreadOf } from "./statistics.ts";

export const mixes = ["separate", "shared-prefix"] as const;
export type Mix = (typeof mixes)[number];

export type LoadShape = {
  concurrency: number;
  requests: number;
  promptTokens: number;
  outputTokens: number;
  /** Tokens at the beginning of all prompts that are the same; 0 for none. */
  sharedTokens: number;
  /** Loads of different numbers have different prompts, but for what they share. */
  number: number;
};

/** In seconds. */
export type Percentiles = { p50: number; p95: number; p99: number };

/** What one round of a load has seen. */
export type LoadSamples = {
  seconds: number;
  outputTokens: number;
  /** Seconds from each request to its first token, and from each token to the next. */
  firsts: number[];
  gaps: number[];
  cachedPromptTokens: number | null;
  preemptions: number | null;
  liveBytesPerToken: number | null;
};

/** Of all rounds of a load. */
export type LoadFigures = {
  seconds: number;
  outputTokens: number;
  /** Over the rounds. */
  tokensPerSecond: Spread;
  timeToFirstToken: Percentiles;
  /** Between a token and the one before it; null where answers have one token. */
  interTokenLatency: Percentiles | null;
  cachedPromptTokens: number | null;
  preemptions: number | null;
  /** Bytes of the pages that texts held, by the tokens that these texts had, when most were held: looked at whenever an answer is half done. */
  liveBytesPerToken: number | null;
};

export async function runLoad(target: LoadTarget, shape: LoadShape, signal?: AbortSignal): Promise<LoadSamples> {
  const { inside } = target;
  const before = await inside?.stats();
  const firsts: number[] = [];
  const gaps: number[] = [];
  const lengths = new Map<number, number>();
  let tokens = 0;
  let next = 0;
  let mostPages = 0;
  let liveBytesPerToken: number | null = null;

  const look = async () => {
    const held = [...lengths.values()].reduce((sum, length) => sum + length, 0);
    const { pagesInUse } = await inside!.stats();
    if (pagesInUse <= mostPages || held === 0) return;
    mostPages = pagesInUse;
    const { pageTokens, keyValueBytesPerToken } = inside!.info;
    liveBytesPerToken = (pagesInUse * pageTokens * keyValueBytesPerToken) / held;
  };
  const client = async () => {
    while (next < shape.requests) {
      const request = next++;
      const prompt = promptOf(shape, request, target.vocabularySize);
      const { outputTokens } = shape;
      let lastMs = performance.now();
      let told = 0;
      let hasLooked = false;
      for await (const { tokens: count, isEnd } of target.answer({ prompt, outputTokens, seed: request, signal })) {
        const nowMs = performance.now();
        if (!isEnd) (told === 0 ? firsts : gaps).push((nowMs - lastMs) / 1000);
        lastMs = nowMs;
        told += count;
        lengths.set(request, (lengths.get(request) ?? prompt.length) + count);
        tokens += count;
        if (!inside || hasLooked || told < outputTokens / 2) continue;
        hasLooked = true;
        await look();
      }
      lengths.delete(request);
    }
  };

  const startMs = performance.now();
  await Promise.all(Array.from({ length: shape.concurrency }, client));
  const seconds = (performance.now() - startMs) / 1000;
  if (firsts.length === 0) {
    throw new RookeryError("BENCH_FAILED", `${target.name} has answered with no text at all`, "try longer answers");
  }
  const after = await inside?.stats();
  const since = (name: "cachedPromptTokens" | "preemptions") => (before && after ? after[name] - before[name] : null);
  return {
    seconds,
    outputTokens: tokens,
    firsts,
    gaps,
    cachedPromptTokens: since("cachedPromptTokens"),
    preemptions: since("preemptions"),
    liveBytesPerToken,
  };
}

export function figuresOf(rounds: readonly LoadSamples[]): LoadFigures {
  const total = (of: (round: LoadSamples) => number) => rounds.reduce((sum, round) => sum + of(round), 0);
  const known = (of: (round: LoadSamples) => number | null) => {
    const values = rounds.map(of).filter((value) => value !== null);
    return values.length === 0 ? null : values;
  };
  const sum = (values: number[] | null) => values?.reduce((all, value) => all + value, 0) ?? null;
  const gaps = rounds.flatMap((round) => round.gaps);
  const live = known((round) => round.liveBytesPerToken);
  return {
    seconds: total(({ seconds }) => seconds),
    outputTokens: total(({ outputTokens }) => outputTokens),
    tokensPerSecond: spreadOf(rounds.map(({ outputTokens, seconds }) => outputTokens / seconds)),
    timeToFirstToken: percentilesOf(rounds.flatMap((round) => round.firsts)),
    interTokenLatency: gaps.length === 0 ? null : percentilesOf(gaps),
    cachedPromptTokens: sum(known((round) => round.cachedPromptTokens)),
    preemptions: sum(known((round) => round.preemptions)),
    liveBytesPerToken: live && median(live),
  };
}

/** Random ids; those that are shared are the same in all loads, as a system prompt is. */
export function promptOf(shape: LoadShape, request: number, vocabularySize: number): Int32Array {
  const shared = streamKeys(0, "shared prefix");
  const own = streamKeys(shape.number, "prompt", request);
  return Int32Array.from({ length: shape.promptTokens }, (_, at) => {
    return hash32(at < shape.sharedTokens ? shared : own, at) % vocabularySize;
  });
}

/** The least value that so many of all do not exceed (nearest rank). */
export function percentilesOf(values: readonly number[]): Percentiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}
