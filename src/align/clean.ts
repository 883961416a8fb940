/** Records that are worth learning from: by rules, by what a critic says, and by what is left for people to decide. */
import { z } from "zod";
import { parseOptions } from "../base/config.ts";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { refuseExisting, refuseUnwritable, writeJsonLines } from "../base/files.ts";
import { isPlainObject } from "../base/option-schema.ts";
import { conversationReader, type PreferencePair, preferenceReader, type Reading } from "../data/chat.ts";
import { doubtOf } from "../data/chat-doubts.ts";
import { ChatFaults, type ChatRecord, readChatFiles } from "../data/chat-files.ts";
import { EndpointClient } from "../endpoint/client.ts";
import { Endpoint } from "../endpoint/endpoint.ts";
import { EndpointFailure } from "../endpoint/failure.ts";
import { openJobs } from "../jobs/jobs.ts";
import { type Critique, critique, type Tier } from "../review/critique.ts";
import type { ReviewReason } from "../review/decision.ts";
import { type QueueEntry, writeReviewQueue } from "../review/queue.ts";
import type { ChatMessage } from "../text/chat-template.ts";
import { rules, turnField } from "./options.ts";

export const cleanOptionsSchema = z.strictObject({
  data: z
    .array(z.string().min(1))
    .min(1, "gives no data: name files of conversations or of preference pairs")
    .describe("files, folders or globs of conversations or preference pairs")
    .meta({ valueName: "PATH" }),
  out: z.string().min(1).describe("the file that the records to learn from go to").meta({ valueName: "FILE.jsonl" }),
  rejected: z
    .string()
    .min(1)
    .optional()
    .describe("a file for the records that are left out, each with its reason")
    .meta({ valueName: "FILE.jsonl" }),
  review: z
    .string()
    .min(1)
    .optional()
    .describe(
      "a queue for the records that a person should decide on, with `rookery review`; without it, what is only doubtful is kept",
    )
    .meta({ valueName: "FILE.jsonl" }),
  rules,
  turnField,
  critique: z
    .string()
    .min(1)
    .optional()
    .describe("a server of OpenAI's API whose model scores each answer from 1 to 4; its key in ROOKERY_API_KEY")
    .meta({ valueName: "URL" }),
  critiqueModel: z.string().min(1).optional().describe("its model; by default its first").meta({ valueName: "NAME" }),
  keepTier: z
    .int()
    .min(1)
    .max(4)
    .default(3)
    .describe("lowest tier that is kept; the tier below it goes to --review, if there is one"),
  concurrency: z.int().min(1).max(1024).default(8).describe("requests to the critic at once"),
  overwrite: z.boolean().default(false).describe("replace files that are there"),
});

export type CleanOptionsInput = z.input<typeof cleanOptionsSchema>;
export type CleanOptions = z.output<typeof cleanOptionsSchema>;

/** What became of the records. The three lists of reasons have a count each. */
export type CleanResult = {
  out: string;
  read: number;
  kept: number;
  rejected: Record<string, number>;
  review: Record<string, number>;
  /** Records by the critic's tier. */
  tiers: Partial<Record<Tier, number>>;
  /** What it took, at the server or earlier. */
  requests: { asked: number; fromCache: number };
};

/** `fetch` stands in for the network's. */
export type CleanContext = CommandContext & { apiKey?: string | undefined; fetch?: typeof fetch };

type Subject = { messages: ChatMessage[] };
type Fate = { fate: "keep" } | ({ fate: "reject" | "review" } & ReviewReason);

/** Conversations and preference pairs, told apart by their fields; of a pair the chosen answer is what is judged. */
function subjectReader(options: CleanOptions): (record: unknown) => Reading<Subject | PreferencePair> {
  const [readConversation, readPreference] = [conversationReader(options), preferenceReader(options)];
  return (record) =>
    isPlainObject(record) && "chosen" in record && "rejected" in record
      ? readPreference(record)
      : readConversation(record);
}

const messagesOf = (value: Subject | PreferencePair): ChatMessage[] =>
  "messages" in value ? value.messages : [...value.prompt, { role: "assistant", content: value.chosen }];

/**
 * Reads records, leaves out what breaks rules, asks a critic about the rest, and writes what is kept. Asked answers are kept beside
 * `out`: the same work begun again asks for none of them twice.
 * @throws RookeryError as reading does; FILE_UNWRITABLE for files that are there; ENDPOINT_FAILED; the signal's reason.
 */
export async function clean(given: CleanOptionsInput, context: CleanContext = {}): Promise<CleanResult> {
  const options = parseOptions(cleanOptionsSchema, given);
  checkOutputs(options);
  const rejects: { record: unknown; why: ReviewReason; where: string }[] = [];
  const faults = new ChatFaults(context, ({ fault, where, detail, record }) => {
    rejects.push({ record, why: { reason: fault, detail }, where });
  });
  const records = await readChatFiles(options.data, subjectReader(options), faults, context);
  const read = records.length + rejects.length;
  const { fates, tiers, requests } = await judge(records, options, context);
  const review: QueueEntry[] = [];
  const kept: unknown[] = [];
  for (const [index, { record, where }] of records.entries()) {
    const fate = fates[index]!;
    if (fate.fate === "keep") kept.push(record);
    else if (fate.fate === "reject") rejects.push({ record, why: fate, where });
    else review.push({ record: record as QueueEntry["record"], why: { reason: fate.reason, detail: fate.detail } });
  }
  writeJsonLines(options.out, kept);
  if (options.rejected !== undefined) {
    writeJsonLines(options.rejected, rejects, ({ record, why: { reason, detail }, where }) => {
      return { rejected: { reason, detail, where }, record: record ?? null };
    });
  }
  if (options.review !== undefined) writeReviewQueue(options.review, review);
  return {
    ...{ out: options.out, read, kept: kept.length },
    rejected: countBy(rejects.map(({ why }) => why.reason)),
    review: countBy(review.map(({ why }) => why.reason)),
    ...{ tiers, requests },
  };
}

function checkOutputs({ out, rejected, review, overwrite }: CleanOptions): void {
  const files = [out, rejected, review].filter((file) => file !== undefined);
  if (new Set(files).size < files.length) {
    throw new RookeryError("INVALID_OPTION", "two outputs have one name", "give each its own file");
  }
  if (!overwrite) refuseExisting(files);
  refuseUnwritable(files);
}

type Judgement = { fates: Fate[]; tiers: CleanResult["tiers"]; requests: CleanResult["requests"] };

async function judge(
  records: readonly ChatRecord<Subject | PreferencePair>[],
  options: CleanOptions,
  context: CleanContext,
): Promise<Judgement> {
  const fates = records.map(({ value }) => fateOfDoubt(messagesOf(value), options));
  if (options.critique === undefined) return { fates, tiers: {}, requests: { asked: 0, fromCache: 0 } };
  const { onEvent } = context;
  // the first that fails for good ends the others, too
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(context.signal === undefined ? [] : [context.signal])]);
  using store = openJobs(`${options.out}.critiques.sqlite`, `the critiques of ${options.out}`);
  const endpoint = new Endpoint({ url: options.critique, apiKey: context.apiKey, fetch: context.fetch });
  const client = new EndpointClient(endpoint, { store, concurrency: options.concurrency });
  const model = await endpoint.modelOrFirst(options.critiqueModel, "name one with --critique-model", signal);
  const tiers: CleanResult["tiers"] = {};
  let done = 0;
  const judgeOne = async (index: number): Promise<void> => {
    const messages = messagesOf(records[index]!.value);
    const subject = { messages: messages.slice(0, -1), answer: messages.at(-1)!.content };
    const found = await critiqueOrFault(() => critique(client, model, subject, signal));
    if ("tier" in found) tiers[found.tier] = (tiers[found.tier] ?? 0) + 1;
    const fate = fateOfCritique(found, options);
    // a doubt outlives a good score, a bad score settles it
    if (fate.fate !== "keep") fates[index] = fate;
    onEvent?.({ type: "progress", what: "asking the critic", done: ++done, total: records.length, unit: "records" });
  };
  const waiting = records.keys();
  const worker = async (): Promise<void> => {
    for (const index of waiting) await judgeOne(index);
  };
  const workers = Array.from({ length: options.concurrency }, () =>
    worker().catch((error: unknown) => {
      stop.abort(error);
      throw error;
    }),
  );
  await Promise.allSettled(workers);
  await Promise.all(workers);
  return { fates, tiers, requests: { asked: client.counts.requests, fromCache: client.counts.cached } };
}

async function critiqueOrFault(ask: () => Promise<Critique>): Promise<Critique | { fault: string }> {
  try {
    return await ask();
  } catch (error) {
    // what the critic cannot judge says nothing about the others; a server that is gone does
    const isOfThisOne = error instanceof EndpointFailure && (error.kind === "malformed" || error.kind === "refused");
    if (isOfThisOne) return { fault: error.message };
    throw error;
  }
}

function fateOfDoubt(messages: readonly ChatMessage[], { review }: CleanOptions): Fate {
  const found = review === undefined ? undefined : doubtOf(messages);
  return found === undefined ? { fate: "keep" } : { fate: "review", reason: found.doubt, detail: found.detail };
}

function fateOfCritique(found: Critique | { fault: string }, { review, keepTier }: CleanOptions): Fate {
  const doubtful = review === undefined ? "reject" : "review";
  if ("fault" in found) return { fate: doubtful, reason: "noVerdict", detail: found.fault };
  if (found.tier >= keepTier) return { fate: "keep" };
  return {
    fate: found.tier === keepTier - 1 ? doubtful : "reject",
    reason: `tier${found.tier}`,
    detail: found.comment,
  };
}

function countBy(reasons: readonly string[]): Record<string, number> {
  return Object.fromEntries([...Map.groupBy(reasons, (reason) => reason)].map(([reason, all]) => [reason, all.length]));
}
