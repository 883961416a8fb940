/** The logits of others on tiny models, in both directions: their directories read by us, and ours read by them. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { loadTransformer } from "../../src/interop/load.ts";
import { readModelDirectory } from "../../src/interop/model-directory.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { relativeError } from "../twins/support.ts";
import { configsForTheOfficialCode, configsForTransformers, logitsOf, writeOurModel } from "./our-models.ts";

const root = mkdtempSync(join(tmpdir(), "rookery-oracle-"));
after(() => rmSync(root, { recursive: true, force: true }));

type Answer = { directory: string; tokens: number[]; logits: number[][] };
type Theirs = Answer & { sha256: string };
type Ours = Answer & { sha256: Record<string, string> };

const sha256 = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

function fixture<Type>(...names: string[]): Type {
  return JSON.parse(readFileSync(join(import.meta.dirname, ...names), "utf8")) as Type;
}

function compare(actual: Float32Array, { logits }: Answer): void {
  const expected = Float32Array.from(logits.flat());
  assert.equal(actual.length, expected.length);
  const error = relativeError(actual, expected);
  assert.ok(error < 1e-4, `the logits are ${error} apart`);
  const largest = Math.max(...expected.map(Math.abs));
  const worst = actual.reduce((most, value, at) => Math.max(most, Math.abs(value - expected[at]!)), 0);
  assert.ok(worst < 1e-4 * largest, `one logit is ${worst} off, the largest is ${largest}`);
}

function readTheirs(folder: string, answers: readonly Theirs[]): void {
  for (const answer of answers) {
    it(`reads ${answer.directory}`, async () => {
      const directory = join(import.meta.dirname, folder, answer.directory);
      assert.equal(sha256(join(directory, "model.safetensors")), answer.sha256);
      const { model } = await loadTransformer(readModelDirectory(directory));
      using loaded = model;
      compare(logitsOf(loaded, answer.tokens), answer);
    });
  }
}

function writeOurs(configs: ReadonlyMap<string, ModelConfig>, answers: readonly Ours[]): void {
  assert.equal(answers.length, configs.size);
  for (const answer of answers) {
    it(`writes ${answer.directory}`, () => {
      using model = writeOurModel(root, answer.directory, configs.get(answer.directory)!);
      for (const [name, hash] of Object.entries(answer.sha256))
        assert.equal(sha256(join(root, answer.directory, name)), hash, `${name} is not what they were shown`);
      compare(logitsOf(model, answer.tokens), answer);
    });
  }
}

describe("transformers", () => {
  const { models: theirs } = fixture<{ models: Theirs[] }>("transformers", "theirs.json");
  const { models: ours } = fixture<{ models: Ours[] }>("transformers", "ours.json");
  readTheirs("transformers", theirs);
  writeOurs(configsForTransformers(), ours);

  it("was shown what it is to be shown", () => {
    const configs = theirs.map(({ directory }) => {
      return readModelDirectory(join(import.meta.dirname, "transformers", directory)).config;
    });
    for (const all of [configs, [...configsForTransformers().values()]]) {
      assert.equal(all.filter(({ numExperts }) => numExperts === 0).length, 6);
      assert.deepEqual(new Set(all.map(({ topK }) => topK)), new Set([0, 1, 2, 8]));
      assert.equal(new Set(all.map(({ tieWordEmbeddings }) => tieWordEmbeddings)).size, 2);
      assert.ok(all.every((one) => one.headDim * one.numAttentionHeads !== one.hiddenSize));
      assert.ok(new Set(all.map(({ ropeScaling }) => ropeScaling?.alpha)).size > 2);
      assert.ok(all.some(({ hiddenSize }) => hiddenSize % 2 === 1));
    }
  });
});

describe("the official code of Hunyuan-Large", () => {
  const { theirs, ours } = fixture<{ theirs: Theirs[]; ours: Ours[] }>("official", "official.json");
  readTheirs("official", theirs);
  writeOurs(configsForTheOfficialCode(), ours);
});
