/** What the recorded runs are: each a command of Rookery, by name, in the order in which they need each other. */
import path from "node:path";
import { lookBackTexts } from "../../src/tasks/retrieval.ts";

export type RecipeRun = {
  /** Its name among the runs; what stands before the last "-" is the variant, what stands after it the seed. */
  name: string;
  command: "train" | "sft" | "reward" | "dpo";
  args: readonly string[];
  /** Examples that the model is shown before each question, as a pretrained one needs them; null leaves it unscored. */
  examples: number | null;
};

export const seeds = [1, 2, 3];

const flags = (options: Record<string, string | number>) =>
  Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);

/** The runs whose models are released, and the name under which the FP8 release of the second is scored. */
export const released = { pretrained: "base-1", instruct: "aligned-1", instructFp8: "aligned-fp8-1" };

/** Texts that teach to look back, by the names that pretrain.yaml has for them. */
export const lookBack = {
  tiny: { ...lookBackTexts.lists, count: 100_000, seed: 1 },
  short: { ...lookBackTexts.lookups, count: 60_000, seed: 2 },
};

const sft = {
  data: "tasks/train.jsonl",
  "batch-tokens": 2048,
  "learning-rate": 2e-3,
  "final-learning-rate": 2e-4,
  "held-out-share": 0.005,
  epochs: 10,
};
const noDropout = { "attention-dropout": 0, "hidden-dropout": 0 };
const tuned = { ...sft, ...noDropout, steps: 5000 };
/** Short enough for three seeds of each variant. */
const shortTuning = { ...sft, steps: 400 };

/** Pairs of the tuned model's own mistakes (own-pairs.ts): as families come, and with families alike. */
export const ownPairs = { asTheyCome: "tasks/own.jsonl", balanced: "tasks/own-balanced.jsonl" };

const reward = {
  data: ownPairs.asTheyCome,
  epochs: 10,
  steps: 250,
  "learning-rate": 1e-3,
  "final-learning-rate": 1e-4,
  "batch-pairs": 64,
  "held-out-share": 0.02,
};

const dpo = {
  data: ownPairs.asTheyCome,
  epochs: 10,
  "learning-rate": 4e-4,
  "final-learning-rate": 2e-5,
  "warmup-share": 0.1,
  "batch-pairs": 64,
  "max-answer-tokens": 32,
  "ema-decay": 0.97,
  "sft-coefficient": 2,
  "reward-model": "judge-1",
  exam: "tasks/test.jsonl",
  "held-out-share": 0.01,
};
const alignment = { ...dpo, data: ownPairs.balanced, steps: 300, "online-share": 0, "evaluate-every": 50 };
/** Short enough for three seeds of each variant. */
const shortAlignment = { ...dpo, steps: 40, "batch-pairs": 32, "online-share": 0.5, "evaluate-every": 20 };

/** What each variant of short DPO has otherwise than the first. The last is made to be hacked: nothing holds the policy back from what the judge likes. */
export const dpoVariants: Record<string, Record<string, string | number>> = {
  mixed: {},
  "no-ema": { "ema-decay": 0 },
  "no-sft-term": { "sft-coefficient": 0 },
  offline: { "online-share": 0 },
  online: { "online-share": 1 },
  hacked: { "online-share": 1, "sft-coefficient": 0, "ema-decay": 0, beta: 0.01, "learning-rate": 1e-3 },
};

const shortVariants = Object.fromEntries(
  Object.entries(dpoVariants).map(([variant, changes]) => [variant, { ...shortAlignment, ...changes }]),
);

export const sftVariants: Record<string, Record<string, string | number>> = {
  "dropout-on": {},
  "dropout-off": noDropout,
  "one-rate": { "expert-learning-rate-ratio": 1 },
};

export const recipeRuns: readonly RecipeRun[] = [
  {
    name: "base-1",
    command: "train",
    args: ["--config", path.join(import.meta.dirname, "pretrain.yaml")],
    examples: 4,
  },
  { name: "tuned-1", command: "sft", args: ["base-1", ...flags({ ...tuned, seed: 1 })], examples: 0 },
  { name: "judge-1", command: "reward", args: ["tuned-1", ...flags({ ...reward, seed: 1 })], examples: null },
  ...Object.entries({ aligned: alignment, ...shortVariants }).flatMap(([variant, options]) =>
    seeds.slice(0, variant === "hacked" ? 1 : undefined).map(
      (seed): RecipeRun => ({
        name: `${variant}-${seed}`,
        command: "dpo",
        args: ["tuned-1", ...flags({ ...options, seed })],
        examples: 0,
      }),
    ),
  ),
  ...Object.entries(sftVariants).flatMap(([variant, changes]) =>
    seeds.map(
      (seed): RecipeRun => ({
        name: `${variant}-${seed}`,
        command: "sft",
        args: ["base-1", ...flags({ ...shortTuning, ...changes, seed })],
        examples: 0,
      }),
    ),
  ),
];
