import path from "node:path";
import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import type { CommandContext } from "../../base/events.ts";
import { makeFolder, writeFileAtomic, writeJsonLines } from "../../base/files.ts";
import { rookeryVersion } from "../../base/version.ts";
import { EndpointClient } from "../../endpoint/client.ts";
import { Endpoint } from "../../endpoint/endpoint.ts";
import { type BuildModels, type BuiltItem, buildFrom } from "../../eval/scroll/build/build.ts";
import { type CheckName, checkNames } from "../../eval/scroll/build/checks.ts";
import { drafterVersion } from "../../eval/scroll/build/endpoint-drafter.ts";
import { readSources, resolveSources } from "../../eval/scroll/build/source.ts";
import { type Jobs, openJobs } from "../../jobs/jobs.ts";
import { type BuildReport, buildPage, reportBuild } from "../../report/scroll-build-page.ts";
import { writeReviewQueue } from "../../review/queue.ts";
import { Tokenizer } from "../../text/tokenizer.ts";
import { type CommandIo, defineCommand } from "../command.ts";
import { folderOfModel, runsFolderOption } from "../model.ts";
import { alignColumns } from "../text.ts";

const names = Object.keys(checkNames) as [CheckName, ...CheckName[]];

const schema = z.strictObject({
  documents: z
    .array(z.string().min(1))
    .min(1)
    .describe("documents: .html, .pdf, .docx, .md, .txt or .csv, files, folders or patterns")
    .meta({ valueName: "PATH" }),
  out: z
    .string()
    .min(1)
    .describe("the folder to write to; what a model was asked there before is not asked again")
    .meta({ valueName: "FOLDER" }),
  perTask: z.int().min(0).max(1000).default(4).describe("most questions by templates of each task, from one document"),
  dialogues: z.int().min(0).max(1000).default(1).describe("most dialogues from one document; each gives two records"),
  seed: z.int().min(0).default(1).describe("another seed asks about other places"),
  longestCharacters: z
    .int()
    .min(1000)
    .max(10_000_000)
    .default(400_000)
    .describe("most characters of a document: its end is left out at a section's border"),
  writer: z
    .string()
    .min(1)
    .optional()
    .describe("the address of a model that drafts questions, besides the templates (key: ROOKERY_API_KEY)")
    .meta({ valueName: "URL" }),
  writerModel: z
    .string()
    .min(1)
    .optional()
    .describe("which model of the writer; by default its first")
    .meta({ valueName: "NAME" }),
  passages: z.int().min(0).max(10_000).default(4).describe("passages of a document that the writer is given"),
  perPassage: z.int().min(1).max(20).default(3).describe("questions that it drafts about each"),
  examiner: z
    .string()
    .min(1)
    .optional()
    .describe("the address of a model that the questions are tried on; by default the writer")
    .meta({ valueName: "URL" }),
  examinerModel: z
    .string()
    .min(1)
    .optional()
    .describe("which model of the examiner; by default its first")
    .meta({ valueName: "NAME" }),
  checks: z
    .array(z.enum(names))
    .default([...names])
    .describe(
      `what a question has to pass; the last two need a model: ${names.map((name) => `${name}: ${checkNames[name]}`).join("; ")}`,
    ),
  samples: z.int().min(1).max(20).default(3).describe("tries of the check of consistency"),
  tokenizer: z
    .string()
    .min(1)
    .optional()
    .describe("a run or folder whose tokenizer counts token_count; by default four bytes of text count as one")
    .meta({ valueName: "MODEL" }),
  runsFolder: runsFolderOption,
  review: z
    .enum(["doubtful", "all"])
    .default("doubtful")
    .describe("what is laid before a person: what checks are unsure of, or everything that passed"),
});

type BuildResult = BuildReport & { records: string; rejected: string; review: string | null; page: string };

export const command = defineCommand({
  schema,
  positionals: ["documents"],
  examples: [
    { line: "rookery scroll build manuals/*.pdf --out bench", purpose: "by templates, checked without a model" },
    {
      line: "rookery scroll build manuals reports.csv --out bench --writer https://host/v1 --writer-model big --review all",
      purpose: "drafted by a model, too, tried with and without the document, and all of it for a person to look at",
    },
  ],
  run: scrollBuild,
  describe: ({ documents, drafted, left, tasks, checks, records, review, page }) => [
    ...alignColumns([
      ["task", "drafted", "left"],
      ...tasks.map((one) => [one.name, String(one.drafted), String(one.left)]),
    ]),
    `${documents.length} documents, ${drafted} questions, ${left} left${checks.map(({ name, rejected }) => `; ${name} rejected ${rejected}`).join("")}`,
    `${records}, ${page}`,
    ...(review === null ? [] : [`for a person: rookery review ${review}`]),
  ],
});

export async function scrollBuild(
  options: z.output<typeof schema>,
  context: CommandContext,
  { environment }: Pick<CommandIo, "environment">,
): Promise<BuildResult> {
  const { out, longestCharacters } = options;
  const files = await resolveSources(options.documents);
  makeFolder(out);
  using jobs = openJobs(path.join(out, "answers.sqlite"), out);
  const models = await openModels(options, jobs, context, environment);
  const countTokens = await tokenCounter(options);
  const items: BuiltItem[] = [];
  const documents: BuildReport["documents"] = [];
  for await (const source of readSources(files, longestCharacters, context)) {
    const built = await buildFrom(source, options, models, countTokens, context);
    items.push(...built.items);
    const { title, language, flaggedPages, isCut, sections, tables, text } = source;
    const left = built.items.filter(({ rejected }) => rejected === null).length;
    documents.push({
      ...{
        path: source.path,
        title,
        language,
        characters: text.length,
        sections: sections.length,
        tables: tables.length,
      },
      ...{ flaggedPages, isCut, drafted: built.items.length, left, failedPassages: built.failedPassages },
    });
    context.onEvent?.({
      type: "progress",
      what: "building",
      done: documents.length,
      total: files.length,
      unit: "documents",
    });
  }
  const kept = items.filter(({ rejected }) => rejected === null);
  const [records, rejected, page] = ["records.jsonl", "rejected.jsonl", "build.html"].map((name) =>
    path.join(out, name),
  ) as [string, string, string];
  writeJsonLines(records, kept, ({ record }) => record);
  writeJsonLines(
    rejected,
    items.flatMap(({ record, rejected: finding }) =>
      finding ? [{ rejected_by: finding.check, because: finding.reason, ...record }] : [],
    ),
  );
  const forPerson = kept.filter(({ doubt }) => options.review === "all" || doubt !== null);
  const review = forPerson.length === 0 ? null : path.join(out, "review.jsonl");
  if (review !== null) {
    writeReviewQueue(
      review,
      forPerson.map(({ record, doubt }) => ({
        record,
        why: { reason: doubt === null ? "sample" : "doubt", detail: doubt ?? "passed every check" },
      })),
    );
  }
  const report = reportBuild(items, documents);
  writeFileAtomic(page, buildPage(report, items, rookeryVersion));
  if (kept.length === 0) {
    const what =
      items.length === 0 ? "no question could be made" : `none of ${items.length} questions passed the checks`;
    throw new RookeryError(
      "BAD_DATA",
      `${what} of these documents`,
      `see ${page}; give longer documents, or fewer --checks`,
    );
  }
  return { ...report, records, rejected, review, page };
}

async function openModels(
  options: z.output<typeof schema>,
  jobs: Jobs,
  { signal }: CommandContext,
  environment: CommandIo["environment"],
): Promise<BuildModels> {
  const open = async (url: string, model: string | undefined, identity: string) => {
    const endpoint = new Endpoint({ url, apiKey: environment.ROOKERY_API_KEY });
    const name = await endpoint.modelOrFirst(model, "name one with --writer-model or --examiner-model", signal);
    return { client: new EndpointClient(endpoint, { identity, store: jobs }), model: name };
  };
  const writer =
    options.writer === undefined ? undefined : await open(options.writer, options.writerModel, drafterVersion);
  const examiner =
    options.examiner === undefined ? writer : await open(options.examiner, options.examinerModel, "scroll-examiner");
  return { writer, examiner };
}

async function tokenCounter({
  tokenizer,
  runsFolder,
}: z.output<typeof schema>): Promise<(text: string) => Promise<number>> {
  if (tokenizer === undefined) return async (text) => Math.ceil(Buffer.byteLength(text) / 4);
  const loaded = await Tokenizer.load(folderOfModel(tokenizer, runsFolder));
  return async (text) => (await loaded.encodeText(text)).length;
}
