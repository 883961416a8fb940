import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { sha256OfFile } from "../base/files.ts";
import { presets } from "../model/presets.ts";
import { type TrainOptionsInput, trainOptionsSchema } from "./options.ts";
import { dataOptionsOf, modelConfigOf, prepareTokenizer, prepareTrainingData, tokenizerFolderOf } from "./prepare.ts";

let folder = "";
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-prepare-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const config = { ...presets.nano, vocabularySize: 300 };

/** Options that read one text of penguins, or of whatever is given. */
function options(given: TrainOptionsInput = {}, text = "the penguin swims and the penguin dives. ".repeat(40)) {
  const file = path.join(folder, "text.txt");
  fs.writeFileSync(file, text);
  return trainOptionsSchema.parse({ data: [file], runsFolder: folder, ...given, filters: { maxRepeatedShare: 1 } });
}

const tokenizerHash = (run: string) => sha256OfFile(path.join(tokenizerFolderOf(run), "tokenizer.json"));

test("the model is the preset with what differs from it, and is checked", () => {
  const parse = (model: TrainOptionsInput["model"]) =>
    modelConfigOf(trainOptionsSchema.parse({ preset: "mini", model }));
  assert.deepEqual(parse({}), presets.mini);
  assert.deepEqual(parse({ topK: 2, ropeScaling: null }), { ...presets.mini, topK: 2, ropeScaling: null });
  assert.deepEqual(parse({ topK: undefined }), presets.mini);
  assert.throws(() => parse({ topK: 9 }), { code: "INVALID_CONFIG", message: "topK 9 is more than numExperts 8" });
});

test("the options of the data are those that say what to read", () => {
  const all = options({ textField: "body", seed: 4 });
  const { data, textField, strict, ...others } = dataOptionsOf(all);
  assert.deepEqual([data, textField, strict], [all.data, "body", false]);
  assert.ok(!("seed" in others));
});

test("a tokenizer is trained once a run, on its data, and then the run's own", async () => {
  const run = path.join(folder, "run");
  const { tokenizer, folder: own } = await prepareTokenizer(options(), config, run, {});
  assert.equal(own, tokenizerFolderOf(run));
  assert.ok(tokenizer.vocabularySize <= 300);
  const before = tokenizerHash(run);
  await prepareTokenizer(options({}, "other words entirely, again and again ".repeat(40)), config, run, {});
  assert.equal(tokenizerHash(run), before);
  await prepareTokenizer(options(), config, path.join(folder, "twin"), {});
  assert.equal(tokenizerHash(path.join(folder, "twin")), before, "the same text gives the same tokenizer");
});

test("a tokenizer that is given is copied, and must fit the model", async () => {
  const run = path.join(folder, "run");
  const { folder: own, tokenizer } = await prepareTokenizer(options(), config, run, {});
  const given = options({ tokenizer: own });
  const next = path.join(folder, "next");
  await prepareTokenizer(given, config, next, {});
  assert.equal(tokenizerHash(next), tokenizerHash(run));
  const { vocabularySize } = tokenizer;
  await assert.rejects(
    prepareTokenizer(given, { ...config, vocabularySize: vocabularySize - 1 }, path.join(folder, "small"), {}),
    { code: "INVALID_CONFIG", hint: `give --set model.vocabularySize=${vocabularySize}` },
  );
});

test("a damaged tokenizer is named", async () => {
  const broken = path.join(folder, "broken");
  fs.mkdirSync(broken);
  const given = options({ tokenizer: broken });
  const prepare = () => prepareTokenizer(given, config, path.join(folder, "run"), {});
  await assert.rejects(prepare(), { code: "FILE_UNREADABLE", message: /broken\/tokenizer\.json: it does not exist/ });
  fs.writeFileSync(path.join(broken, "tokenizer.json"), '{"model":');
  await assert.rejects(prepare(), { code: "FILE_DAMAGED", message: /broken\/tokenizer\.json/ });
  assert.ok(!fs.existsSync(path.join(folder, "run")));
});

test("data is tokenized once for the same text and tokenizer", async () => {
  const given = options();
  const { tokenizer, folder: own } = await prepareTokenizer(given, config, path.join(folder, "run"), {});
  const read = async (all: typeof given) => {
    const { dataset, fromCache } = await prepareTrainingData(all, tokenizer, own, {});
    using _ = dataset;
    return { fromCache, tokens: dataset.tokens("train") + dataset.tokens("heldOut") };
  };
  const first = await read(given);
  assert.equal(first.fromCache, false);
  assert.ok(first.tokens > 0);
  assert.deepEqual(await read(given), { ...first, fromCache: true });
  assert.equal((await read(options({}, "a new text about the same penguin. ".repeat(40)))).fromCache, false);
});

test("training a tokenizer stops when it is told to", async () => {
  const signal = AbortSignal.abort();
  await assert.rejects(prepareTokenizer(options(), config, path.join(folder, "run"), { signal }), {
    name: "AbortError",
  });
  assert.ok(!fs.existsSync(path.join(folder, "run")));
});
