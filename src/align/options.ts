/** What a user can say about the stages of alignment; a schema is the flags, the configuration file and the type at once. */
import { z } from "zod";
import { chatRuleNames } from "../data/chat-rules.ts";
import { runsFolderOption } from "../interop/resolve.ts";
import { recomputations } from "../model/recomputation.ts";

const positive = z.number().positive();
const share = z.number().min(0).max(1);

/** What every stage has. */
const common = {
  model: z.string().min(1).optional().describe("the run or model directory to begin with").meta({ valueName: "MODEL" }),
  name: z
    .string()
    .optional()
    .describe("name of the run; by default the stage and the next free number")
    .meta({ valueName: "RUN" }),
  resume: z.boolean().default(false).describe("go on with the run --name from its newest checkpoint"),
  steps: z
    .int()
    .positive()
    .max(2 ** 31 - 1)
    .optional()
    .describe("end after this many updates; by default after --epochs"),
  sequenceLength: z
    .int()
    .min(8)
    .max(2 ** 20)
    .default(512)
    .describe("tokens a row; what is longer is left out and counted, never cut"),
  microBatchRows: z.int().min(1).max(4096).default(8).describe("rows of a forward pass; less takes less memory"),
  warmupShare: share.default(0.01).describe("share of the steps in which the learning rate rises"),
  expertLearningRateRatio: positive
    .max(100)
    .optional()
    .describe(
      "learning rate of the specialised experts as a share of the dense one; by default from the batch-size law",
    ),
  weightDecay: z.number().min(0).max(10).default(0).describe("AdamW's decoupled decay; norms have none"),
  beta1: z.number().min(0).max(0.9999).default(0.9).describe("AdamW's decay of the first moment"),
  beta2: z.number().min(0).max(0.99999).default(0.95).describe("AdamW's decay of the second moment"),
  epsilon: positive.max(1).default(1e-8).describe("AdamW's epsilon"),
  maxGradientNorm: positive.default(1).describe("the gradient is scaled down to this norm"),
  capacityFactor: positive.max(1024).default(1.25).describe("tokens an expert takes, as a multiple of an even load"),
  balanceCoefficient: z.number().min(0).max(10).default(0.01).describe("weight of the load-balance loss (GShard form)"),
  seed: z
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .default(1)
    .describe("fixes the order of the data, dropout and recycling"),
  computeType: z.enum(["bf16", "f32"]).default("bf16").describe("type of activations and products"),
  recomputation: z.enum(recomputations).default("none").describe("activations recomputed in the backward pass"),
  threads: z.int().min(1).max(256).optional().describe("threads of the kernels; results do not depend on it"),
  heldOutShare: share.max(0.5).default(0.05).describe("share of the records that is held out and measured on"),
  evaluateEvery: z.int().positive().optional().describe("steps between measurements; by default a tenth of the run"),
  checkpointEvery: z.int().positive().default(100).describe("steps between checkpoints"),
  keepCheckpoints: z.int().min(1).max(1000).default(2).describe("newest checkpoints that are kept"),
  maxSkippedSteps: z.int().min(1).default(5).describe("steps in a row with a loss that is not finite, before it stops"),
  runsFolder: runsFolderOption,
};

const data = (what: string) =>
  z.array(z.string().min(1)).default([]).describe(`files, folders or globs of ${what}`).meta({ valueName: "PATH" });

export const rules = z
  .array(z.enum(chatRuleNames))
  .default([...chatRuleNames])
  .describe("rules that a record must keep to be learnt from; --set rules=[] for none");

export const turnField = z
  .string()
  .min(1)
  .optional()
  .describe("the field or column that holds the turns; by default messages or conversations")
  .meta({ valueName: "FIELD" });

const routing = z.enum(["recycle", "drop", "dropless"]);
const epochs = (count: number) => z.int().min(1).max(1000).default(count).describe("times that all records are read");
const learningRate = (rate: number) => positive.max(1).default(rate).describe("peak learning rate");
const finalLearningRate = z
  .number()
  .min(0)
  .max(1)
  .optional()
  .describe("learning rate at the end of its cosine; by default a tenth of the peak");

export const loraProjections = ["q", "k", "v", "o"] as const;

export const sftOptionsSchema = z.strictObject({
  ...common,
  data: data("conversations: messages, ShareGPT or Alpaca records in .jsonl, .json, .csv or .parquet"),
  rules,
  turnField,
  epochs: epochs(3),
  learningRate: learningRate(2e-5),
  finalLearningRate,
  batchTokens: z
    .int()
    .min(8)
    .max(2 ** 26)
    .default(8192)
    .describe("tokens an update, padding included; a multiple of --sequence-length"),
  routing: routing.default("recycle").describe("what becomes of tokens over an expert's capacity"),
  attentionDropout: share.max(0.9).default(0.1).describe("share of attention's probabilities that are dropped"),
  hiddenDropout: share
    .max(0.9)
    .default(0.2)
    .describe("share that is dropped of what a layer adds to the hidden states"),
  loraRank: z.int().min(0).max(4096).default(0).describe("rank of low-rank adapters; 0 trains all weights"),
  loraAlpha: positive.max(65_536).default(128).describe("adapters are scaled by alpha / rank"),
  loraProjections: z
    .array(z.enum(loraProjections))
    .min(1)
    .default([...loraProjections])
    .describe("projections of attention that get an adapter"),
});

/** What a stage on preference pairs has. */
const preferenceOptions = {
  ...common,
  data: data("preference pairs: records of prompt, chosen and rejected in .jsonl, .json, .csv or .parquet"),
  rules,
  epochs: epochs(1),
  learningRate: learningRate(1e-5),
  finalLearningRate,
  batchPairs: z.int().min(1).max(65_536).default(32).describe("pairs an update"),
};

export const rewardOptionsSchema = z.strictObject({
  ...preferenceOptions,
  routing: routing.default("dropless").describe("what becomes of tokens over an expert's capacity"),
});

export const dpoOptionsSchema = z.strictObject({
  ...preferenceOptions,
  routing: routing
    .default("dropless")
    .describe("what becomes of tokens over an expert's capacity; without a limit policy and reference are asked alike"),
  beta: positive.max(100).default(0.1).describe("how much a log-probability may move away from the reference"),
  sftCoefficient: z
    .number()
    .min(0)
    .max(100)
    .default(0.2)
    .describe("weight of the SFT term on chosen answers; 0 for none"),
  maskFormatting: z
    .boolean()
    .default(true)
    .describe("leaves the token that ends an answer out of both log-probabilities; the SFT term keeps it"),
  emaDecay: share
    .max(0.99999)
    .default(0.99)
    .describe("decay of the averaged weights, which become the model; 0 for none"),
  onlineShare: share
    .default(0)
    .describe("share of an update's pairs that the policy samples itself; 0 is offline only, 1 online only"),
  samplesPerPrompt: z.int().min(2).max(64).default(4).describe("online: answers sampled to each prompt"),
  maxAnswerTokens: z.int().min(1).max(65_536).default(64).describe("online: most tokens of an answer"),
  temperature: positive.max(10).default(1).describe("online: temperature of sampling"),
  judge: z
    .enum(["reward-model", "exact-match"])
    .default("reward-model")
    .describe(
      "online: who picks the best and the worst answer; exact-match compares with the chosen one of the record",
    ),
  rewardModel: z
    .string()
    .optional()
    .describe("the run or directory of a reward model; without online pairs it is only watched")
    .meta({ valueName: "MODEL" }),
  exam: z
    .array(z.string().min(1))
    .default([])
    .describe(
      "files of questions with one right answer each, to see whether a rising reward is real; never learnt from",
    )
    .meta({ valueName: "PATH" }),
  examQuestions: z.int().min(1).max(1_000_000).default(400).describe("at most this many of them, the first ones"),
  watchedPrompts: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(128)
    .describe("held-out prompts that the policy answers at each measurement, for the divergence from the reference"),
});

export type SftOptionsInput = z.input<typeof sftOptionsSchema>;
export type SftOptions = z.output<typeof sftOptionsSchema>;
export type RewardOptionsInput = z.input<typeof rewardOptionsSchema>;
export type RewardOptions = z.output<typeof rewardOptionsSchema>;
export type DpoOptionsInput = z.input<typeof dpoOptionsSchema>;
export type DpoOptions = z.output<typeof dpoOptionsSchema>;
export type StageOptions = SftOptions | RewardOptions | DpoOptions;
/** With what depends on others filled in. */
export type SettledOptions = StageOptions & { finalLearningRate: number };
