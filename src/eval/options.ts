/** What a user can say about an evaluation. */
import { z } from "zod";
import { engineOptionsSchema } from "../engine/options.ts";
import { taskNames } from "./tasks/catalog.ts";

export const modelUnderTestShape = {
  modelName: z
    .string()
    .min(1)
    .optional()
    .describe("which model of a server; by default its first")
    .meta({ valueName: "NAME" }),
  tokenizer: z
    .string()
    .min(1)
    .optional()
    .describe("the folder of the tokenizer of a server's model, where the server does not offer it")
    .meta({ valueName: "FOLDER" }),
  maxModelLen: z
    .int()
    .min(16)
    .max(2 ** 24)
    .optional()
    .describe("most tokens of a prompt and its answer together")
    .meta({
      valueName: "N",
    }),
  concurrency: z.int().min(1).max(1024).default(16).describe("requests to a server at once"),
  kvCacheDtype: engineOptionsSchema.shape.keyValueCacheType,
  cacheBytes: engineOptionsSchema.shape.cacheBytes,
  computeType: engineOptionsSchema.shape.computeType,
  threads: engineOptionsSchema.shape.threads,
};

export const evalRunOptionsSchema = z.strictObject({
  model: z
    .string()
    .min(1)
    .describe("a run, a model directory, or the address of a server, such as http://127.0.0.1:8080")
    .meta({ valueName: "MODEL" }),
  tasks: z
    .array(z.string().min(1).meta({ examples: taskNames() }))
    .default([])
    .describe("names of tasks, or files of own ones (.yaml, .ts); several also with commas between them")
    .meta({ valueName: "TASK" }),
  texts: z
    .array(z.string().min(1))
    .default([])
    .describe("texts whose bits per byte are measured: PATH, or DOMAIN=PATH")
    .meta({ valueName: "PATH" }),
  windowTokens: z
    .int()
    .min(2)
    .optional()
    .describe("for texts: most tokens that are read in one piece; by default as many as the model reads")
    .meta({ valueName: "N" }),
  data: z
    .string()
    .min(1)
    .default("eval-data")
    .describe("the folder that holds the data sets, a folder each, named as the task")
    .meta({ valueName: "FOLDER" }),
  download: z.boolean().default(false).describe("fetch data sets that are not there from the Hugging Face hub"),
  shots: z.int().min(0).max(64).optional().describe("worked examples before each question; by default each task's own"),
  limit: z.int().min(1).optional().describe("only this many questions of each subject, and documents of each text"),
  mode: z
    .enum(["text", "chat"])
    .default("text")
    .describe("how written answers are asked for: text lets the model write on, chat asks in its chat template"),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(1234)
    .describe("draws shots and questions; with 1234 shots are those that lm-eval draws"),
  judge: z
    .string()
    .min(1)
    .optional()
    .describe("the address of a server whose model judges free answers")
    .meta({ valueName: "URL" }),
  judgeModel: z.string().min(1).optional().describe("which of its models").meta({ valueName: "NAME" }),
  allowUncontainedCode: z
    .boolean()
    .default(false)
    .describe("run programs that models wrote also where they cannot be walled in: they can then read your files"),
  name: z.string().min(1).optional().describe("the name of the results; by default the model's, and the time"),
  resultsFolder: z
    .string()
    .min(1)
    .default("evals")
    .describe("the folder that holds results")
    .meta({ valueName: "FOLDER" }),
  resume: z.boolean().default(false).describe("go on with the results --name"),
  ...modelUnderTestShape,
});

export type EvalRunOptionsInput = z.input<typeof evalRunOptionsSchema>;
export type EvalRunOptions = z.output<typeof evalRunOptionsSchema>;
