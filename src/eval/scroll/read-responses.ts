/** Responses as PenguinScrolls writes them, of Rookery's own runs or of other programs. */
import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { readFileRecords } from "../../data/files.ts";
import { Problems } from "../../data/problems.ts";
import type { JudgedResponse } from "./judge.ts";

const rowSchema = z.object({
  input_md5: z.string().min(1),
  response: z.string().nullish(),
  error: z.unknown(),
  truncated: z.union([z.boolean(), z.number()]).nullish(),
});

/** By `input_md5`; of several for one input the last counts. @throws RookeryError FILE_UNREADABLE; BAD_DATA where there are none. */
export async function readResponses(file: string, context: CommandContext): Promise<Map<string, JudgedResponse>> {
  const problems = new Problems(false, context);
  const responses = new Map<string, JudgedResponse>();
  const rows = readFileRecords(file, (kind, line, what) => problems.report(file, kind, file, line, what));
  for await (const { record, line } of rows) {
    const row = rowSchema.safeParse(record);
    if (!row.success) {
      problems.report(
        file,
        "malformed",
        file,
        line,
        "is no response: input_md5, response, error and truncated are wanted",
      );
      continue;
    }
    const { input_md5: key, response, error, truncated } = row.data;
    const failure = error === null || error === undefined || error === "" ? null : String(error);
    responses.set(key, { input_md5: key, response: response ?? null, error: failure, truncated: Boolean(truncated) });
  }
  if (responses.size > 0) return responses;
  throw new RookeryError("BAD_DATA", `${file} has no responses`, "give responses.jsonl of a `rookery scroll run`");
}
