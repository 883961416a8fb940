import type { Command } from "./command.ts";

/** A line of the table of commands. `load` imports the command only when it is used, so that help is quick. */
export type CommandEntry = {
  /** As typed after `rookery`; a name of two words belongs to a group. */
  name: string;
  summary: string;
  load(): Promise<{ command: Command }>;
};

/** Every command, in the order of the help. To add one: a file under `commands/`, and a line here. */
export const commandTable: readonly CommandEntry[] = [
  {
    name: "start",
    summary:
      "the whole recipe in about eleven minutes: from texts to a small model that answers, measured at each stage",
    load: () => import("./commands/start.ts"),
  },
  {
    name: "train",
    summary: "train a mixture of experts on texts, or go on with a run",
    load: () => import("./commands/train.ts"),
  },
  {
    name: "sft",
    summary: "fine-tune a model on conversations",
    load: () => import("./commands/sft.ts"),
  },
  {
    name: "reward",
    summary: "train a model that scores answers, from pairs of a better and a worse one",
    load: () => import("./commands/reward.ts"),
  },
  {
    name: "dpo",
    summary: "align a model to preferences: pairs from files, and pairs that it samples itself",
    load: () => import("./commands/dpo.ts"),
  },
  {
    name: "tasks generate",
    summary: "write tasks with answers that can be checked: to train on, to compare, and to measure with",
    load: () => import("./commands/tasks-generate.ts"),
  },
  {
    name: "tasks retrieval",
    summary: "write texts that teach to find what stands far before, for a long-context stage",
    load: () => import("./commands/tasks-retrieval.ts"),
  },
  {
    name: "tasks score",
    summary: "put tasks to a model and score its answers by exact match, family by family",
    load: () => import("./commands/tasks-score.ts"),
  },
  {
    name: "eval ruler",
    summary: "RULER's 13 long-context tasks at any length, in English and Chinese",
    load: () => import("./commands/eval-ruler.ts"),
  },
  {
    name: "eval needle",
    summary: "a grid of needles in haystacks, by length and depth, as a heat map",
    load: () => import("./commands/eval-needle.ts"),
  },
  {
    name: "scroll run",
    summary: "put the records of Penguin Scrolls, or of a benchmark of one's own, to a model",
    load: () => import("./commands/scroll-run.ts"),
  },
  {
    name: "scroll judge",
    summary: "grade answers by checks and by a judge: by task, length and language, and how far judges agree",
    load: () => import("./commands/scroll-judge.ts"),
  },
  {
    name: "synth run",
    summary: "make conversations in four steps: instructions from seeds, their evolution, answers, filters",
    load: () => import("./commands/synth-run.ts"),
  },
  {
    name: "synth filter",
    summary: "other filters for a run of synthesis, by the answers that are there: nobody is asked, nothing is paid",
    load: () => import("./commands/synth-filter.ts"),
  },
  {
    name: "scroll build",
    summary: "make a long-document benchmark from one's own documents, and check its questions",
    load: () => import("./commands/scroll-build.ts"),
  },
  {
    name: "synth report",
    summary: "a synthetic data set as a page: yields and reasons, cost, diversity, bias, examples",
    load: () => import("./commands/synth-report.ts"),
  },
  {
    name: "doctor",
    summary: "check that this machine can run Rookery: Node, compiler, kernels, memory, disk",
    load: () => import("./commands/doctor.ts"),
  },
  {
    name: "info",
    summary: "what a model costs: parameters, FLOPs a token, KV cache, memory to train and to serve",
    load: () => import("./commands/info.ts"),
  },
  {
    name: "plan",
    summary: "what to train for this compute, time or money, and what that takes",
    load: () => import("./commands/plan.ts"),
  },
  {
    name: "scale run",
    summary: "a sweep of training runs: several budgets, sizes and seeds, into one table",
    load: () => import("./commands/scale-run.ts"),
  },
  {
    name: "scale fit",
    summary: "power laws through a sweep of training runs, with their intervals",
    load: () => import("./commands/scale-fit.ts"),
  },
  {
    name: "scale noise",
    summary: "the noise scale of a run's gradient, and the experts' learning rate that it implies",
    load: () => import("./commands/scale-noise.ts"),
  },
  {
    name: "report",
    summary: "a training run as a page: curves, load of the experts, schedule, data, cost",
    load: () => import("./commands/report.ts"),
  },
  {
    name: "eval run",
    summary: "put benchmarks, own tasks and texts to a model or a server, and keep every answer",
    load: () => import("./commands/eval-run.ts"),
  },
  {
    name: "eval cache-compression",
    summary: "what a smaller KV cache costs: MHA, GQA, CLA, 8 bits, task by task and position by position",
    load: () => import("./commands/eval-cache-compression.ts"),
  },
  {
    name: "eval compare",
    summary: "two results on the same questions: differences with intervals, what flipped, a gate for CI",
    load: () => import("./commands/eval-compare.ts"),
  },
  {
    name: "sample",
    summary: "let a model write on from a prompt",
    load: () => import("./commands/sample.ts"),
  },
  {
    name: "chat",
    summary: "talk to a model, or to a server that has one",
    load: () => import("./commands/chat.ts"),
  },
  {
    name: "serve",
    summary: "serve a model to clients of OpenAI's API, many at once",
    load: () => import("./commands/serve.ts"),
  },
  {
    name: "export",
    summary: "write a model in the layout or the file that another engine reads",
    load: () => import("./commands/export.ts"),
  },
  {
    name: "quantize",
    summary: "make a release of a model in 8 or 4 bits, and measure what that costs and brings",
    load: () => import("./commands/quantize.ts"),
  },
  {
    name: "data inspect",
    summary: "count the documents, characters, tokens and duplicates of texts, and what is filtered out of them",
    load: () => import("./commands/data-inspect.ts"),
  },
  {
    name: "data clean",
    summary:
      "leave out of conversations and preference pairs what is not worth learning from: by rules, and by a critic",
    load: () => import("./commands/data-clean.ts"),
  },
  {
    name: "review",
    summary: "decide on records one by one, in the terminal or in a browser: accept, reject, edit",
    load: () => import("./commands/review.ts"),
  },
  {
    name: "tokenizer train",
    summary: "train a byte-level BPE tokenizer on texts",
    load: () => import("./commands/tokenizer-train.ts"),
  },
  {
    name: "tokenizer encode",
    summary: "turn a text into token ids",
    load: () => import("./commands/tokenizer-encode.ts"),
  },
  {
    name: "tokenizer decode",
    summary: "turn token ids into text",
    load: () => import("./commands/tokenizer-decode.ts"),
  },
  {
    name: "bench gemm",
    summary: "matrix products of many shapes against PyTorch, and as a share of the machine's peak",
    load: () => import("./commands/bench-gemm.ts"),
  },
  {
    name: "bench attention",
    summary: "attention forward and backward against PyTorch, and as a share of the machine's peak",
    load: () => import("./commands/bench-attention.ts"),
  },
  {
    name: "bench train",
    summary: "a training step against PyTorch: speed, memory, share of the peak, time by kernel",
    load: () => import("./commands/bench-train.ts"),
  },
  {
    name: "bench growth",
    summary: "how the cost of training grows with each size, beside a model that explains it",
    load: () => import("./commands/bench-growth.ts"),
  },
  {
    name: "bench serve",
    summary: "what users wait for and what a token costs, by how many there are at once",
    load: () => import("./commands/bench-serve.ts"),
  },
  {
    name: "bench llama",
    summary: "prompts read and texts written, by one stream and by many, against llama.cpp on the same weights",
    load: () => import("./commands/bench-llama.ts"),
  },
  {
    name: "kernels build",
    summary: "compile the kernels to a file, for images and machines without a compiler",
    load: () => import("./commands/kernels-build.ts"),
  },
  {
    name: "completion",
    summary: "print what a shell needs to complete commands and flags",
    load: () => import("./commands/completion.ts"),
  },
  {
    name: "config schema",
    summary: "print the JSON Schema of a command's options, for editors and checks",
    load: () => import("./commands/config-schema.ts"),
  },
];
