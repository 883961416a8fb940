import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { writeTinyModel } from "../../../test/tiny-model.ts";
import { liveMemory } from "../../kernels/bindings/memory.ts";
import { main } from "../main.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-sample-"));
let folder = "";
before(async () => {
  folder = await writeTinyModel(root);
});
after(() => fs.rmSync(root, { recursive: true, force: true }));

type Sampled = {
  format: string;
  prompt: string;
  promptTokens: number;
  sampling: Record<string, number>;
  samples: { text: string; tokens: number[]; finishReason: string }[];
};

async function run(words: string[], { stdin = "", signal = new AbortController().signal, onText = () => {} } = {}) {
  const output = { stdout: "", stderr: "" };
  const record = (name: "stdout" | "stderr") => ({
    write(text: string) {
      output[name] += text;
      if (name === "stdout") onText();
    },
  });
  const pieces = async function* () {
    const bytes = Buffer.from(stdin);
    // Cut inside a character.
    yield bytes.subarray(0, 1);
    yield bytes.subarray(1);
  };
  const start = liveMemory();
  const shell = { stdout: record("stdout"), stderr: record("stderr"), environment: {}, stdin: pieces(), signal };
  const code = await main(["sample", folder, "--threads", "1", ...words], shell);
  assert.deepEqual(liveMemory(), start);
  return { code, ...output };
}

async function sampled(words: string[], options: Parameters<typeof run>[1] = {}): Promise<Sampled> {
  const { code, stdout, stderr } = await run([...words, "--json"], options);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Sampled;
}

const short = ["--max-tokens", "12", "--seed", "3"];

describe("rookery sample", () => {
  it("streams the prompt and what follows, and says how fast it was on stderr", async () => {
    const { samples } = await sampled(["--prompt", "the rock", ...short]);
    const { code, stdout, stderr } = await run(["--prompt", "the rock", ...short]);
    assert.equal(code, 0);
    assert.equal(samples.length, 1);
    assert.equal(samples[0]!.tokens.length, 12);
    assert.equal(samples[0]!.finishReason, "length");
    // The random model writes control characters; what is shown has none.
    const shown = (text: string) => text.replace(/[^\P{Cc}\n\t]/gu, "�");
    assert.equal(stdout, `the rock${shown(samples[0]!.text)}\n`);
    assert.match(stderr, /12 tokens in .* tokens\/s, seed 3/);
  });

  it("answers under --json with what it drew and how", async () => {
    const result = await sampled(["--prompt", "the rock", "--top-k", "40", "--count", "3", ...short]);
    assert.equal(result.format, "rookery-sample/1");
    assert.deepEqual(result.sampling, { temperature: 0.8, topK: 40, topP: 0.95, minP: 0, seed: 3 });
    assert.equal(new Set(result.samples.map(({ text }) => text)).size, 3);
    const [first] = (await sampled(["--prompt", "the rock", "--top-k", "40", ...short])).samples;
    assert.deepEqual(result.samples[0], first);
    assert.notDeepEqual((await sampled([])).sampling.seed, (await sampled([])).sampling.seed);
  });

  it("starts every prompt as documents start in training, and takes special tokens that are spelled out", async () => {
    assert.equal((await sampled(short)).promptTokens, 1);
    assert.equal((await sampled(["--prompt", "<|startoftext|>", ...short])).promptTokens, 1);
    assert.equal((await sampled(["--prompt", "<|endoftext|><|startoftext|>", ...short])).promptTokens, 3);
  });

  it("reads a prompt from standard input", async () => {
    const piped = await sampled(["--prompt", "-", ...short], { stdin: "é rock" });
    assert.equal(piped.prompt, "é rock");
    assert.deepEqual(piped.samples, (await sampled(["--prompt", "é rock", ...short])).samples);
  });

  it("is steered by what the model's makers say, unless the user says otherwise", async () => {
    const file = path.join(folder, "generation_config.json");
    const before = fs.readFileSync(file, "utf8");
    fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(before), temperature: 0.5, top_k: 9, do_sample: true }));
    const { sampling } = await sampled(["--temperature", "2", ...short]);
    fs.writeFileSync(file, before);
    assert.equal(sampling.temperature, 2);
    assert.equal(sampling.topK, 9);
  });

  it("ends with 130 when interrupted", async () => {
    const controller = new AbortController();
    let texts = 0;
    const onText = () => {
      if (++texts === 5) controller.abort();
    };
    const { code, stdout, stderr } = await run(["--prompt", "the rock"], { signal: controller.signal, onText });
    assert.equal(code, 130);
    assert.ok(stdout.startsWith("the rock") && stdout.endsWith("\n"));
    assert.match(stderr, /rookery: stopped/);
  });

  it("refuses in one line what it cannot sample from", async () => {
    const refused = async (...words: string[]) => {
      const { code, stderr } = await run(words);
      assert.equal(code, 2);
      return stderr;
    };
    assert.match(await refused("--prompt", "a ".repeat(2000)), /^rookery: the prompt has \d+ tokens, .* 700; .*\n$/);
    assert.match(await refused("--top-p", "0"), /^rookery: --top-p is 0; .*\n$/);
  });
});
