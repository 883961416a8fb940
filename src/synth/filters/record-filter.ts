/** Rules, self-consistency and critique of one record. */
import { EndpointFailure } from "../../endpoint/failure.ts";
import { critiqueMessages, critiquePromptVersion, critiqueSchema, critiqueTokens } from "../../review/critique.ts";
import type { Critic, FilterContext, RecordFilter, Verdict } from "../filter.ts";
import type { Critique, SynthRecord } from "../record.ts";
import { readSample, type Sample, type Vote, votesOf } from "./consistency.ts";
import type { SynthFilterOptions } from "./options.ts";
import type { FilterReason } from "./reasons.ts";
import { type Fault, faultOf } from "./rules.ts";

/** Of an endpoint that knows: the verifier teacher's answers need no agreement and no critic. */
const verifierEndpoint = "verifier";
const leastVotes = 2;

type Judged = { verdict: Verdict; critiques: readonly Critique[] };

/**
 * The rules leave the usable answers. Where the answer is objective and several were asked for, most of those must agree. A
 * critic, where there is one, has the last word on the answer that is left. Critiques that come with the record are not asked for.
 */
export function makeRecordFilter(options: SynthFilterOptions): RecordFilter {
  return async (record, context) => {
    const { samples, faults } = await usableSamples(record, options, context.signal);
    const without = (verdict: Verdict): Judged => ({ verdict, critiques: record.critiques ?? [] });
    if (samples.length === 0) return without(reject(record, commonest(faults)));
    const verified = samples.find(({ index }) => record.answers[index]!.endpoint === verifierEndpoint);
    if (verified) return without({ id: record.id, decision: "keep", answer: verified.index });
    const chosen = choose(record, samples, options);
    if ("reason" in chosen) return without(reject(record, chosen));
    if (!context.critic) return without({ id: record.id, decision: "keep", answer: chosen.candidates[0]! });
    return criticize(record, chosen.candidates, context.critic, context, options);
  };
}

function reject(record: SynthRecord, { reason, detail }: Fault): Verdict {
  return { id: record.id, decision: "reject", reason, detail };
}

async function usableSamples(
  record: SynthRecord,
  options: SynthFilterOptions,
  signal: AbortSignal | undefined,
): Promise<{ samples: Sample[]; faults: Fault[] }> {
  const bounds = {
    timeoutMs: options.codeTimeoutMs,
    memoryBytes: options.codeMemoryMegabytes * 2 ** 20,
    allowUncontained: options.allowUncontainedCode,
    signal,
  };
  const samples: Sample[] = [];
  const faults: Fault[] = [];
  for (const [index, answer] of record.answers.entries()) {
    const fault = faultOf(answer, record);
    const looked = fault ? { fault } : await readSample(answer, record, bounds);
    if ("fault" in looked) faults.push(looked.fault);
    else samples.push({ index, value: looked.value });
  }
  return { samples, faults };
}

/** The fault that most answers have; all of them in its detail. */
function commonest(faults: readonly Fault[]): Fault {
  if (faults.length === 0) return { reason: "empty", detail: "no answer was given" };
  const groups = [...Map.groupBy(faults, ({ reason }) => reason)].sort(([, a], [, b]) => b.length - a.length);
  const [reason, [first]] = groups[0]! as [FilterReason, Fault[]];
  if (faults.length === 1) return { reason, detail: first!.detail };
  const counts = groups.map(([name, those]) => `${those.length} ${name}`).join(", ");
  return { reason, detail: `of ${faults.length} answers ${counts}; ${first!.detail}` };
}

/** The answers that may be kept: the first one that most agree on, or every usable text. */
function choose(
  record: SynthRecord,
  samples: readonly Sample[],
  { minAgreement }: SynthFilterOptions,
): { candidates: number[] } | Fault {
  if (record.answerKind === "text") return { candidates: samples.map(({ index }) => index) };
  // One answer was asked for: there is nothing to compare it with.
  if (record.answers.length < leastVotes) return { candidates: [samples[0]!.index] };
  if (samples.length < leastVotes) {
    const detail = `${samples.length} of ${record.answers.length} answers can be used`;
    return { reason: "tooFewAnswers", detail };
  }
  const votes = votesOf(samples);
  const most = votes[0]!.samples;
  if (most.length >= leastVotes && most.length > minAgreement * samples.length) return { candidates: [most[0]!.index] };
  return { reason: "inconsistent", detail: describeVotes(votes, samples.length) };
}

function describeVotes(votes: readonly Vote[], count: number): string {
  const shown = votes.slice(0, 4).map(({ value, samples }) => `${samples.length}× ${value.key.slice(0, 40)}`);
  return `${count} samples say ${shown.join(", ")}${votes.length > 4 ? ", …" : ""}`;
}

async function criticize(
  record: SynthRecord,
  candidates: readonly number[],
  critic: Critic,
  { seed, signal }: FilterContext,
  options: SynthFilterOptions,
): Promise<Judged> {
  const known = record.critiques ?? [];
  const asked: Critique[] = [];
  let fault = "";
  for (const answer of candidates) {
    if (known.some((critique) => critique.answer === answer)) continue;
    const critique = await critiqueOf(record, answer, critic, seed, signal);
    if (typeof critique === "string") fault = critique;
    else asked.push(critique);
  }
  const critiques = [...known, ...asked].sort((a, b) => a.answer - b.answer);
  const ofCandidates = critiques.filter(({ answer }) => candidates.includes(answer));
  if (ofCandidates.length === 0) {
    const verdict = { id: record.id, decision: "review", reason: "noCritique", detail: fault, answer: candidates[0]! };
    return { verdict: verdict as Verdict, critiques };
  }
  const best = ofCandidates.reduce((a, b) => (b.tier > a.tier ? b : a));
  return { verdict: verdictOfTier(record, best, options), critiques };
}

function verdictOfTier({ id }: SynthRecord, { tier, answer, comment }: Critique, options: SynthFilterOptions): Verdict {
  const detail = `tier ${tier}: ${comment.slice(0, 200)}`;
  if (tier >= options.keepTier) return { id, decision: "keep", answer };
  if (tier <= options.rejectTier) return { id, decision: "reject", reason: "lowTier" satisfies FilterReason, detail };
  return { id, decision: "review", reason: "doubtfulTier" satisfies FilterReason, detail, answer };
}

/** The critique, or what is wrong with what came instead. What a repetition may mend is thrown. */
async function critiqueOf(
  { instruction, answers }: SynthRecord,
  answer: number,
  critic: Critic,
  seed: number,
  signal: AbortSignal | undefined,
): Promise<Critique | string> {
  const subject = { messages: [{ role: "user" as const, content: instruction }], answer: answers[answer]!.text };
  const request = { messages: critiqueMessages(subject), schema: critiqueSchema, maxTokens: critiqueTokens, seed };
  try {
    const { value, requestHash, cost } = await critic.askJson(request, signal);
    const { tier, comment } = value;
    return { answer, tier, comment, model: critic.model, promptVersion: critiquePromptVersion, requestHash, cost };
  } catch (error) {
    if (error instanceof EndpointFailure && (error.kind === "malformed" || error.kind === "refused"))
      return error.message;
    throw error;
  }
}
