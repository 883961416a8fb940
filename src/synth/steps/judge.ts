/** The filters of one record, with the critic behind them. */
import type { Critic, RecordFilter, Verdict } from "../filter.ts";
import type { SynthRecord } from "../record.ts";
import { type Role, requestSeed } from "../roles.ts";
import { askJson, rejectionOf, type StepContext } from "./step.ts";

/** What filtering says of a record; the rest of it stays as it was. */
export type Judgement = Pick<SynthRecord, "kept" | "rejected" | "review" | "critiques">;

export async function judge(
  record: SynthRecord,
  filter: RecordFilter,
  { options, roles, signal }: StepContext,
): Promise<Judgement> {
  const critic = roles.critic && criticOf(roles.critic, signal);
  try {
    const { verdict, critiques } = await filter(record, {
      critic,
      seed: requestSeed(options.seed, "filter", record.id),
      signal,
    });
    return { ...judgementOf(verdict), ...(critiques.length > 0 ? { critiques } : {}) };
  } catch (error) {
    return { rejected: rejectionOf(error, "filter") };
  }
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
