/** What a user can say about a run of synthesis; the schema is the flags, the configuration file and the type at once. */
import { z } from "zod";
import { structuredModes } from "../endpoint/structured.ts";
import { runsFolderOption } from "../interop/resolve.ts";
import { taskLanguages } from "../tasks/task.ts";
import { filterOptionsSchema } from "./filters/index.ts";
import { formNames } from "./prompts/variants.ts";
import { difficulties, synthDirections } from "./record.ts";

const positive = z.number().positive();
const share = z.number().min(0).max(1);
const shares = (what: string) => z.record(z.string().min(1), z.number().min(0)).optional().describe(what);
const endpointName = z.string().min(1).describe("a name from `endpoints`");
const maxTokens = (count: number) => z.int().min(1).max(1_000_000).default(count).describe("most tokens of a reply");
const temperature = (value: number) => z.number().min(0).max(2).default(value).describe("temperature of sampling");

/** Where a domain is not named, a model names it. */
export const anyDomain = "auto";

export const seedSourceSchema = z.strictObject({
  path: z.string().min(1).describe("a file, folder or glob: documents, data files, or source code"),
  kind: z
    .enum(["documents", "questions"])
    .default("documents")
    .describe("questions: records of a question, with its answer where it is known, that are asked as they are"),
  domain: z
    .string()
    .min(1)
    .default("general")
    .describe(`what it is about; "${anyDomain}" lets the generator choose one of mixture.domains for each passage`),
  language: z
    .string()
    .regex(/^[a-z]{2,3}$/)
    .optional()
    .describe("ISO 639-1; by default found by its text"),
});

export const endpointOptionsSchema = z.strictObject({
  url: z.string().min(1).describe("such as http://127.0.0.1:8080"),
  model: z.string().min(1).optional().describe("by default the first that the server has"),
  apiKeyVariable: z.string().min(1).default("ROOKERY_API_KEY").describe("the variable that holds the key"),
  concurrency: z.int().min(1).max(4096).default(8).describe("requests at once"),
  requestsPerMinute: positive.optional(),
  tokensPerMinute: positive.optional(),
  timeoutSeconds: positive.max(86_400).default(120).describe("for one attempt at a request"),
  retries: z.int().min(0).max(100).default(5).describe("attempts after the first, where what went wrong may pass"),
  structured: z.enum(structuredModes).default("json_schema").describe("what the server can hold an answer to"),
  price: z
    .strictObject({ promptPerMillion: z.number().min(0), answerPerMillion: z.number().min(0) })
    .optional()
    .describe("of a million tokens, in any currency"),
});

const answererSchema = z.strictObject({
  endpoint: endpointName,
  domains: z.array(z.string().min(1)).optional().describe("what it is good at; without, whatever nobody else is"),
  difficulties: z.array(z.enum(difficulties)).optional().describe("what it is large enough for; without, all"),
});

const rolesSchema = z
  .strictObject({
    generator: endpointName.optional().describe("writes instructions from seeds, and names their domains"),
    evolver: endpointName.optional().describe("rewrites instructions; by default the generator"),
    answerers: z.array(answererSchema).default([]).describe("write answers; by default the generator does"),
    critic: endpointName.optional().describe("judges evolved instructions and answers; without, nobody does"),
  })
  .prefault({});

const generateSchema = z
  .strictObject({
    perRequest: z.int().min(1).max(32).default(3).describe("instructions that one request asks for"),
    passageCharacters: z.int().min(50).max(100_000).default(2000).describe("most of a document that a prompt holds"),
    forms: z.array(z.enum(formNames)).min(1).optional().describe("what is asked for; by default what suits the domain"),
    difficulties: z
      .array(z.enum(difficulties))
      .min(1)
      .default([...difficulties]),
    temperature: temperature(1),
    maxTokens: maxTokens(1000),
  })
  .prefault({});

const evolveSchema = z
  .strictObject({
    share: share.default(0.5).describe("share of the instructions that are evolved; both forms are kept"),
    directions: z
      .array(z.enum(synthDirections))
      .min(1)
      .default([...synthDirections]),
    rounds: z.int().min(1).max(8).default(1).describe("times that an instruction is evolved, each from the last"),
    lowResource: z
      .array(z.string())
      .default([])
      .describe("domains to expand first, besides those that have too few seeds"),
    temperature: temperature(0.8),
    maxTokens: maxTokens(600),
  })
  .prefault({});

const answerSchema = z
  .strictObject({
    samples: z.int().min(1).max(64).default(5).describe("answers to what has one right answer; one to all else"),
    isExpert: z.boolean().default(true).describe("whether a system prompt says who answers and in which form"),
    temperature: temperature(0.8),
    maxTokens: maxTokens(1024),
  })
  .prefault({});

const tasksSchema = z
  .strictObject({
    records: z.int().min(0).max(10_000_000).default(0).describe("tasks with a known answer, made without any model"),
    families: z.array(z.string()).optional().describe("only these families"),
    languages: z
      .array(z.enum(taskLanguages))
      .min(1)
      .default([...taskLanguages]),
    needleCharacters: z.int().min(0).max(10_000_000).default(400),
    answeredBy: z
      .enum(["verifier", "models"])
      .default("verifier")
      .describe("models: the answerers answer, which tells how often they and the filters are wrong"),
  })
  .prefault({});

export const synthOptionsSchema = z.strictObject({
  config: z
    .string()
    .min(1)
    .optional()
    .describe("a YAML or JSON file of these options, with seeds, endpoints and roles")
    .meta({ valueName: "CONFIG" }),
  name: z
    .string()
    .optional()
    .describe("name of the run; by default synth and the next free number")
    .meta({ valueName: "RUN" }),
  resume: z.boolean().default(false).describe("go on with the run --name: what is finished is not done again"),
  runsFolder: runsFolderOption,
  seed: z
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .default(1)
    .describe("fixes which seeds are taken and what is asked of them"),
  records: z.int().min(0).max(100_000_000).default(1000).describe("instructions to generate from seeds"),
  budgetTokens: positive.optional().describe("tokens that all requests of the run may take; then it stops, saved"),
  budgetMoney: positive
    .optional()
    .describe("what all requests may cost, by the prices of the endpoints; then it stops, saved"),
  seeds: z.array(seedSourceSchema).default([]).describe("what instructions are made from"),
  mixture: z
    .strictObject({
      domains: shares("weights of the domains; by default as the seeds have them"),
      languages: shares("weights of the languages; by default as the seeds have them"),
    })
    .prefault({}),
  tasks: tasksSchema,
  endpoints: z.record(z.string().min(1), endpointOptionsSchema).default({}).describe("servers that speak OpenAI's API"),
  roles: rolesSchema,
  generate: generateSchema,
  evolve: evolveSchema,
  answer: answerSchema,
  filters: filterOptionsSchema.prefault({}),
});

export type SynthOptionsInput = z.input<typeof synthOptionsSchema>;
export type SynthOptions = z.output<typeof synthOptionsSchema>;
export type SeedSource = z.output<typeof seedSourceSchema>;
export type EndpointSettings = z.output<typeof endpointOptionsSchema>;
