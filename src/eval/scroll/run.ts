/** Records put to a model: responses as PenguinScrolls writes them, one line each, kept whatever happens to the process. */
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { EndpointFailure } from "../../endpoint/failure.ts";
import type { Jobs } from "../../jobs/jobs.ts";
import type { EvalModel } from "../model.ts";
import { runJobs } from "../ruler/work.ts";
import type { ScrollMessage, ScrollRecord } from "./record.ts";
import { fitInput, type TruncationPolicy } from "./truncate.ts";

export type ScrollRunSettings = {
  modelName: string;
  maxTokens: number;
  temperature: number;
  seed: number;
  /** chat: messages in the model's template; text: what a pretrained model writes on after the input. */
  mode: "chat" | "text";
  policy: TruncationPolicy;
  concurrency: number;
};

/** The first four are PenguinScrolls' own. */
export type ScrollResponse = {
  input_md5: string;
  response: string | null;
  error: string | null;
  /** Whether the answer was cut off at `maxTokens`. */
  truncated: boolean;
  /** Characters that were left out of the input. */
  cut_characters: number;
  prompt_tokens: number;
  /** Of them, tokens that a cached prefix saved; null where nobody tells. */
  cached_tokens: number | null;
  seconds: number;
};

const kind = "scroll response";

/**
 * Asks for every record that has no response yet. Records are asked in the order of their texts, so that questions on one document
 * follow each other and its beginning is read once.
 * @throws what the model throws, but for single requests that it refuses; the signal's reason.
 */
export async function runScroll(
  model: EvalModel,
  records: readonly ScrollRecord[],
  settings: ScrollRunSettings,
  jobs: Jobs,
  context: CommandContext,
): Promise<void> {
  const { modelName, maxTokens, temperature, seed, mode, policy, concurrency } = settings;
  if (maxTokens >= model.maxLength) {
    throw new RookeryError(
      "INVALID_OPTION",
      `answers of ${maxTokens} tokens leave no room in the ${model.maxLength} that ${model.name} reads`,
      "lower --max-tokens",
    );
  }
  jobs.pin("settings", { modelName, maxTokens, temperature, seed, mode, policy });
  const byKey = new Map(records.map((record) => [record.key, record]));
  const ordered = records
    .map((record) => ({ key: record.key, start: startOf(record) }))
    .sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0));
  jobs.add(ordered.map(({ key }) => ({ kind, key, payload: null })));
  const countTokens = await messageCounter(model, mode, context.signal);
  const work = { kind, what: "answering", unit: "records", concurrency };
  await runJobs(
    jobs,
    {
      ...work,
      async run({ key }, signal): Promise<ScrollResponse> {
        const record = byKey.get(key);
        if (!record) return failedResponse(key, "the record is not in the data any more");
        const most = model.maxLength - maxTokens;
        const fitted = await fitInput(record, { most, policy }, countTokens);
        if (!fitted) return failedResponse(key, "longer than max_length");
        const startMs = performance.now();
        const before = concurrency === 1 ? await model.prefixStats() : null;
        try {
          const prompt = mode === "text" ? textOf(fitted.messages) : fitted.messages;
          const request = { prompt, maxTokens, stop: [], temperature, seed, asDocument: mode === "text" };
          const answer = await model.generate(request, signal);
          const after = before && (await model.prefixStats());
          return {
            ...{ input_md5: key, response: answer.text, error: null, truncated: answer.finishReason === "length" },
            ...{ cut_characters: fitted.cutCharacters, prompt_tokens: answer.promptTokens },
            cached_tokens: before && after ? after.cachedTokens - before.cachedTokens : null,
            seconds: (performance.now() - startMs) / 1000,
          };
        } catch (error) {
          const isRefused = error instanceof EndpointFailure && error.kind === "refused";
          if (isRefused) return failedResponse(key, error.message);
          throw error;
        }
      },
    },
    context,
  );
}

const failedResponse = (key: string, error: string): ScrollResponse => ({
  ...{ input_md5: key, response: null, error, truncated: false },
  ...{ cut_characters: 0, prompt_tokens: 0, cached_tokens: null, seconds: 0 },
});

/** What records are sorted by: enough of a text to tell documents apart, and what follows for those that begin alike. */
const startOf = ({ input }: ScrollRecord): string =>
  typeof input === "string" ? input : input.map(({ role, content }) => `${role}\n${content}`).join("\n");

const textOf = (messages: readonly ScrollMessage[]): string => messages.map(({ content }) => content).join("\n\n");

/** Responses in the order of the records; none for those that were not asked yet. */
export function* scrollResponses(records: readonly ScrollRecord[], jobs: Jobs): Generator<ScrollResponse> {
  for (const { key } of records) {
    const job = jobs.find(kind, key);
    if (job?.state === "done") yield job.result as ScrollResponse;
    if (job?.state === "failed") yield failedResponse(key, job.reason ?? "failed");
  }
}

/** Tokens of messages in the model's template, whose own tokens are found by asking once; a little too many where there are several. */
async function messageCounter(
  model: EvalModel,
  mode: ScrollRunSettings["mode"],
  signal: AbortSignal | undefined,
): Promise<(messages: readonly ScrollMessage[]) => Promise<number>> {
  const lengths = async (texts: readonly string[]) =>
    (await model.encode(texts)).reduce((sum, { length }) => sum + length, 0);
  const probe: ScrollMessage[] = [{ role: "user", content: "a" }];
  const asked = { maxTokens: 1, stop: [], temperature: 0, seed: 0, asDocument: mode === "text" };
  const { promptTokens } = await model.generate({ ...asked, prompt: mode === "text" ? "a" : probe }, signal);
  const around = promptTokens - (await lengths(["a"]));
  if (mode === "text") return async (messages) => around + (await lengths([textOf(messages)]));
  return async (messages) => around * messages.length + (await lengths(messages.map(({ content }) => content)));
}
