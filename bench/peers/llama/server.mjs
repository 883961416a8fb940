/** llama.cpp as a peer: speaks the protocol of ../README.md for the work "generate" of src/bench/protocol.ts. */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { getModuleVersion } from "node-llama-cpp";
import { startLlama } from "./llama.mjs";

const shortPromptTokens = 32;
const batchTokens = 512;

let threads = 1;
let llama;
let model;
let work;
let salt = 0;

/** Prompts of their own for each timing, so that nothing is found again. */
function nextPrompt(length) {
  const own = salt++;
  return Array.from({ length }, (_, at) => (at * 7919 + own * 104_729) % work.vocabulary);
}

/** Greedy tokens, whatever they are; `onFirst` is called when the first has come. */
async function write(sequence, token, count, onFirst) {
  let made = 0;
  for await (const _ of sequence.evaluate([token], { temperature: 0, yieldEogToken: true })) {
    if (made++ === 0) onFirst?.();
    if (made === count) break;
  }
  if (made < count) throw new Error(`llama.cpp wrote ${made} tokens of ${count}`);
}

async function timeOne() {
  const { promptTokens, answerTokens } = work;
  const context = await model.createContext({
    contextSize: promptTokens + answerTokens + 64,
    batchSize: batchTokens,
    threads,
  });
  const sequence = context.getSequence();
  const prompt = nextPrompt(promptTokens);
  const start = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(prompt.slice(0, -1));
  let read = 0;
  await write(sequence, prompt.at(-1), answerTokens + 1, () => {
    read = performance.now();
  });
  const end = performance.now();
  await context.dispose();
  return { prefill: (read - start) / 1000, decode: (end - read) / 1000 };
}

async function timeMany() {
  const { streams, answerTokens } = work;
  const context = await model.createContext({
    contextSize: shortPromptTokens + answerTokens + 64,
    sequences: streams,
    batchSize: batchTokens,
    threads,
  });
  const prompts = Array.from({ length: streams }, () => nextPrompt(shortPromptTokens));
  const sequences = prompts.map(() => context.getSequence());
  await Promise.all(sequences.map((one, at) => one.evaluateWithoutGeneratingNewTokens(prompts[at].slice(0, -1))));
  const start = performance.now();
  await Promise.all(sequences.map((one, at) => write(one, prompts[at].at(-1), answerTokens)));
  const seconds = (performance.now() - start) / 1000;
  await context.dispose();
  return { streams: seconds };
}

async function run() {
  const parts = {};
  if (work.loads.includes("one")) Object.assign(parts, await timeOne());
  if (work.loads.includes("many")) Object.assign(parts, await timeMany());
  return parts;
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

const methods = {
  async hello(question) {
    threads = question.threads;
    llama = await startLlama(threads);
    return { name: "llama.cpp (node-llama-cpp)", version: await getModuleVersion() };
  },
  async prepare(question) {
    if (question.work.kind !== "generate") throw new Error(`no ${question.work.kind} here`);
    await model?.dispose();
    work = question.work;
    model = await llama.loadModel({ modelPath: work.gguf });
    const context = await model.createContext({ contextSize: 256, threads });
    await context.getSequence().evaluateWithoutGeneratingNewTokens(nextPrompt(128));
    await context.dispose();
    return {};
  },
  async round({ seconds }) {
    const start = performance.now();
    const timings = [];
    do timings.push(await run());
    while ((performance.now() - start) / 1000 < seconds);
    const parts = Object.keys(timings[0]);
    return { seconds: Object.fromEntries(parts.map((part) => [part, median(timings.map((one) => one[part]))])) };
  },
  memory() {
    const [, kibibytes] = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
    return { peakBytes: kibibytes === undefined ? null : Number(kibibytes) * 1024 };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  let answer;
  try {
    const method = Object.hasOwn(methods, question.method) ? methods[question.method] : undefined;
    if (!method) throw new Error(`no ${question.method} here`);
    answer = { result: await method(question) };
  } catch (error) {
    answer = { error: String(error?.message ?? error) };
  }
  process.stdout.write(`${JSON.stringify({ id: question.id, ...answer })}\n`);
}
await model?.dispose();
await llama?.dispose();
