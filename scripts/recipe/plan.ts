/** What the recorded runs are: each a command of Rookery, by name, in the order in which they need each other. */
import path from "node:path";

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

const sft = {
  data: "tasks/train.jsonl",
  "batch-tokens": 4096,
  "learning-rate": 2e-3,
  "final-learning-rate": 2e-4,
  "held-out-share": 0.005,
  epochs: 10,
};
const noDropout = { "attention-dropout": 0, "hidden-dropout": 0 };
const tuned = { ...sft, ...noDropout, steps: 1600 };
/** Short enough for three seeds of each variant. */
const shortTuning = { ...sft, steps: 300 };

const reward = {
  data: "tasks/preferences.jsonl",
  steps: 400,
  "learning-rate": 1e-3,
  "final-learning-rate": 1e-4,
  "batch-pairs": 64,
  "held-out-share": 0.02,
};

const dpo = {
  data: "tasks/preferences.jsonl",
  steps: 120,
  "learning-rate": 3e-4,
  "final-learning-rate": 3e-5,
  "batch-pairs": 32,
  "max-answer-tokens": 32,
  "online-share": 0.5,
  "ema-decay": 0.95,
  "reward-model": "judge-1",
  exam: "tasks/test.jsonl",
  "held-out-share": 0.01,
  "evaluate-every": 20,
};

/** What each variant of DPO has otherwise. The last is made to be hacked: nothing holds the policy back from what the judge likes. */
export const dpoVariants: Record<string, Record<string, string | number>> = {
  both: {},
  "no-ema": { "ema-decay": 0 },
  "no-sft-term": { "sft-coefficient": 0 },
  offline: { "online-share": 0 },
  online: { "online-share": 1 },
  hacked: { "online-share": 1, "sft-coefficient": 0, "ema-decay": 0, beta: 0.01, "learning-rate": 1e-3 },
};

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
  ...Object.entries(dpoVariants).flatMap(([variant, changes]) =>
    seeds.map(
      (seed): RecipeRun => ({
        name: `${variant}-${seed}`,
        command: "dpo",
        args: ["tuned-1", ...flags({ ...dpo, ...changes, seed })],
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
