/**
 * What a filter is: records in, a verdict for each out. The filters themselves are in filters/, whose index.ts gives the pipeline
 * `filterOptionsSchema` (a zod object with defaults: the key `filters` of a configuration), `makeRecordFilter(options): RecordFilter`
 * and `makeSetFilter(options, folder): SetFilter`, each all its filters in their order.
 */
import type { z } from "zod";
import type { Cost, Critique, SynthRecord } from "./record.ts";

/** What a filter says of a record; `reason` is a word of the filter's own list, `detail` what was seen. */
export type Verdict = { id: string } & (
  | {
      decision: "keep";
      /** Index of the answer that is kept. */
      answer: number;
    }
  | { decision: "reject"; reason: string; detail: string }
  /** For the human review queue; kept out of the data until somebody has decided. */
  | { decision: "review"; reason: string; detail: string; answer: number }
);

/** The endpoint of the role "critic", through the run's cache, limits and budget. */
export type Critic = {
  /** The model's name, for the record. */
  model: string;
  /**
   * The answer to a chat as JSON that `schema` describes, near misses repaired.
   * @throws EndpointFailure, of the kind `malformed` for what is no such JSON after all; what ends the work (`endsTheWork`) must be
   * let through, whatever else a filter catches.
   */
  askJson<Value>(
    request: CriticRequest<Value>,
    signal?: AbortSignal,
  ): Promise<{ value: Value; requestHash: string; cost: Cost }>;
};

export type CriticRequest<Value> = {
  messages: readonly { role: "system" | "user" | "assistant"; content: string }[];
  schema: z.ZodType<Value>;
  maxTokens: number;
  seed: number;
};

export type FilterContext = {
  critic: Critic | undefined;
  /** For everything drawn at random. */
  seed: number;
  signal?: AbortSignal | undefined;
};

/**
 * Looks at one record with all its answers (rules, consistency, critique): runs as soon as the record has its answers, many at once.
 * What the critic said comes back beside the verdict, to be kept with the record.
 */
export type RecordFilter = (
  record: SynthRecord,
  context: FilterContext,
) => Promise<{ verdict: Verdict; critiques: readonly Critique[] }>;

/** Nobody is asked about what is seen over the whole set. */
export type SetVerdict = Exclude<Verdict, { decision: "review" }>;

/**
 * Looks at the whole set (near-duplicates, contamination): gets what the record filters and the reviewers kept, in the order of the
 * set, with the kept answer alone in `answers`, and gives one verdict for each in that order.
 */
export type SetFilter = (records: AsyncIterable<SynthRecord>, context: FilterContext) => AsyncIterable<SetVerdict>;
