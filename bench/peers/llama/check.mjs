/**
 * What llama.cpp makes of a model, for tests that compare it with ours. A question as JSON on standard input:
 *   {model, texts, prompts, maxTokens, documents}
 * and one line of JSON on standard output:
 *   {encodings: ids of each text, greedy: the likeliest maxTokens ids after each prompt (ids too),
 *    logprobs: of each document's (ids again) second and later tokens}
 * In f32 throughout: the cache too, and without flash attention.
 */
import { text } from "node:stream/consumers";
import { startLlama } from "./llama.mjs";

const { model: modelPath, texts, prompts, maxTokens, documents } = JSON.parse(await text(process.stdin));
const llama = await startLlama(1);
const model = await llama.loadModel({ modelPath });
const longest = Math.max(...prompts.map((prompt) => prompt.length + maxTokens), ...documents.map((ids) => ids.length));
const context = await model.createContext({
  contextSize: longest + 8,
  threads: 1,
  flashAttention: false,
  experimentalKvCacheKeyType: "F32",
  experimentalKvCacheValueType: "F32",
});

async function inSequence(work) {
  const sequence = context.getSequence();
  try {
    await sequence.clearHistory();
    return await work(sequence);
  } finally {
    await sequence.dispose();
  }
}

async function continued(sequence, prompt) {
  const answer = [];
  for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    answer.push(token);
    if (answer.length === maxTokens) break;
  }
  return answer;
}

async function logprobsOf(sequence, ids) {
  const asked = ids.slice(0, -1).map((id) => [id, { generateNext: { logits: true } }]);
  const answers = await sequence.controlledEvaluate(asked);
  return answers.map((answer, index) => {
    const logits = [...answer.next.logits.values()];
    const largest = Math.max(...logits);
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
    return answer.next.logits.get(ids[index + 1]) - largest - Math.log(sum);
  });
}

const greedy = [];
for (const prompt of prompts) greedy.push(await inSequence((sequence) => continued(sequence, prompt)));
const logprobs = [];
for (const ids of documents) logprobs.push(await inSequence((sequence) => logprobsOf(sequence, ids)));
const encodings = texts.map((one) => model.tokenize(one));
process.stdout.write(`${JSON.stringify({ encodings, greedy, logprobs })}\n`);
await llama.dispose();
