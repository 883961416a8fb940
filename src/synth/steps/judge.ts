/** The filters of one record, with the critic behind them. */
import type { Critic, FilterContext, RecordFilter, Verdict } from "../filter.ts";
import type { SynthOptions } from "../options.ts";
import type { SynthRecord } from "../record.ts";
import { type Role, requestSeed } from "../roles.ts";
import { askJson, rejectionOf, type StepContext } from "./step.ts";

/** What filtering says of a record; the rest of it stays as it was. */
export type Judgement = Pick<SynthRecord, "kept" | "rejected" | "review" | "critiques">;

/** @param before what was said of the record with other filters: critiques of its answers are not asked for again. */
export async function judge(
  record: SynthRecord,
  before: Judgement | null,
  filter: RecordFilter,
  context: FilterContext,
): Promise<Judgement> {
  try {
    const known = before?.critiques;
    const { verdict, critiques } = await filter(known ? { ...record, critiques: known } : record, context);
    return { ...judgementOf(verdict), ...(critiques.length > 0 ? { critiques } : {}) };
  } catch (error) {
    return { rejected: rejectionOf(error, "filter") };
  }
}

export const judgeSeed = ({ seed }: SynthOptions, { id }: SynthRecord): number => requestSeed(seed, "filter", id);

/** With the critic of the run. */
export function judgeContext(record: SynthRecord, { options, roles, signal }: StepContext): FilterContext {
  const critic = roles.critic && criticOf(roles.critic, signal);
  return { critic, seed: judgeSeed(options, record), signal };
}

export function judgementOf(verdict: Verdict): Judgement {
  if (verdict.decision === "keep") return { kept: verdict.answer };
  const { reason, detail } = verdict;
  if (verdict.decision === "reject") return { rejected: { step: "filter", reason, detail } };
  return { review: { reason, detail, answer: verdict.answer } };
}

/** Without a temperature: the same answer gets the same verdict. */
function criticOf(role: Role, ofRun: AbortSignal | undefined): Critic {
  return {
    model: role.model,
    async askJson({ messages, schema, maxTokens, seed }, signal = ofRun) {
      const { value, from } = await askJson(role, { messages, schema, maxTokens, temperature: 0, seed }, signal);
      return { value, requestHash: from.requestHash, cost: from.cost };
    },
  };
}
