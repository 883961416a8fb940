/** Scores of responses: checked where there is but one right answer, else judged by a model. */
import type { CommandContext } from "../../base/events.ts";
import type { EndpointClient } from "../../endpoint/client.ts";
import { EndpointFailure } from "../../endpoint/failure.ts";
import { checkAnswer } from "./check.ts";
import type { ScrollRecord } from "./record.ts";
import { judgeMessages, objectiveVerdict, subjectiveVerdict, verdictTokens } from "./rubric.ts";
import type { ScrollResponse } from "./run.ts";
import type { NullReason, ScrollScore } from "./scores.ts";

export type Judge = { name: string; model: string; client: EndpointClient; temperature: number };

export type JudgedScore = ScrollScore & { analysis: string | null };

/** The fields of a response that a judge needs: also what other programs write for the same records. */
export type JudgedResponse = Pick<ScrollResponse, "input_md5" | "response" | "error" | "truncated">;

const none = (key: string, reason: NullReason, analysis: string | null = null): JudgedScore => ({
  ...{ key, score: null, reason, analysis },
});

/**
 * The score of each record, in their order. Answers of the judge come from its client's store if it has them, so work that was
 * stopped goes on where it was.
 * @param repeat another number asks the judge afresh.
 * @throws EndpointFailure of the kind `fatal`, BUDGET_SPENT; the signal's reason. What fails of one record is that record's.
 */
export async function judgeResponses(
  records: readonly ScrollRecord[],
  responses: ReadonlyMap<string, JudgedResponse>,
  judge: Judge | undefined,
  { repeat, concurrency }: { repeat: number; concurrency: number },
  { signal, onEvent }: CommandContext,
): Promise<JudgedScore[]> {
  const scores: JudgedScore[] = [];
  let next = 0;
  let done = 0;
  const one = async () => {
    while (next < records.length) {
      const at = next++;
      signal?.throwIfAborted();
      scores[at] = await scoreOf(records[at]!, responses.get(records[at]!.key), judge, repeat, signal);
      done++;
      onEvent?.({ type: "progress", what: "judging", done, total: records.length, unit: "answers" });
    }
  };
  await Promise.all(Array.from({ length: concurrency }, one));
  return scores;
}

async function scoreOf(
  record: ScrollRecord,
  response: JudgedResponse | undefined,
  judge: Judge | undefined,
  repeat: number,
  signal: AbortSignal | undefined,
): Promise<JudgedScore> {
  const { key, check, question, answer: reference, isSubjective } = record;
  if (!response) return none(key, "noResponse");
  if (response.error || response.response === null) return none(key, "failed", response.error);
  if (response.truncated) return none(key, "truncated");
  if (check) return { key, score: checkAnswer(check, response.response), reason: null, analysis: null };
  if (!judge) return none(key, "judgeFailed", "no judge was given");
  const request = {
    model: judge.model,
    messages: judgeMessages({ question, answer: response.response, reference, isSubjective }),
    ...{ max_tokens: verdictTokens, temperature: judge.temperature, seed: repeat },
  };
  try {
    if (isSubjective) {
      const { value } = await judge.client.chatJson(request, subjectiveVerdict, signal);
      return { key, score: value.eval_score / 100, reason: null, analysis: value.eval_analysis };
    }
    const { value } = await judge.client.chatJson(request, objectiveVerdict, signal);
    return { key, score: value.eval_label === "Correct" ? 1 : 0, reason: null, analysis: value.eval_analysis };
  } catch (error) {
    if (!(error instanceof EndpointFailure) || error.kind === "fatal") throw error;
    const isMalformed = error.kind === "malformed" && !/ refused: /.test(error.message);
    return none(key, isMalformed ? "malformed" : "judgeFailed", error.message);
  }
}
