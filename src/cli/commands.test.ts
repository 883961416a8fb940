import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { exitCodes } from "../base/errors.ts";
import { main } from "./main.ts";

const folder = mkdtempSync(join(tmpdir(), "rookery-commands-"));
after(() => rmSync(folder, { recursive: true }));

async function run(words: string[], stdin = ""): Promise<{ code: number; stdout: string; stderr: string }> {
  const output = { stdout: "", stderr: "" };
  const record = (name: keyof typeof output) => ({
    write(text: string) {
      output[name] += text;
    },
  });
  const input = (async function* () {
    yield Buffer.from(stdin);
  })();
  const shell = { stdout: record("stdout"), stderr: record("stderr"), stdin: input, environment: {} };
  const code = await main(words, { ...shell, signal: new AbortController().signal });
  return { code, ...output };
}

async function json(words: string[], stdin = "") {
  const { code, stdout, stderr } = await run([...words, "--json"], stdin);
  assert.equal(code, exitCodes.done, stderr);
  return JSON.parse(stdout);
}

test("info accounts for Hunyuan-Large as its report does", async () => {
  const { format, parameters, flopsPerToken, kvCache } = await json(["info", "hunyuan-large"]);
  assert.equal(format, "rookery-info/1");
  assert.equal((parameters.total / 1e9).toFixed(1), "388.7");
  assert.ok(parameters.activated > 51e9 && parameters.activated < 52e9);
  assert.equal(flopsPerToken.training, 3 * flopsPerToken.forward);
  assert.equal(kvCache.bytesPerToken, 81_920);
  assert.equal(kvCache.shareOfMultiHead, 0.05);
  assert.match(
    (await run(["info", "hunyuan-large"])).stdout,
    /389B total, 51\.3B activated[\s\S]*81920 bytes a token, 5\.0%/,
  );
});

test("info shows what a change would cost, down to a key inside the preset", async () => {
  const plain = await json(["info", "nano"]);
  const wide = await json(["info", "nano", "--set", "architecture.numExperts=16"]);
  assert.ok(wide.parameters.total > 1.5 * plain.parameters.total);
  const scaled = await json(["info", "nano", "--set", "architecture.ropeScaling.alpha=50"]);
  assert.deepEqual(scaled.architecture.ropeScaling, { type: "dynamic", alpha: 50, factor: 1 });
  const odd = await run(["info", "nano", "--set", "architecture.topK=9"]);
  assert.equal(odd.code, exitCodes.userMistake);
  assert.match(odd.stderr, /^rookery: topK 9 is more than numExperts 8; .*\n$/);
  assert.match((await run(["info", "nanno"])).stderr, /did you mean "nano"/);
});

test("a tokenizer is trained, and what it encodes it decodes", async () => {
  const texts = join(folder, "texts.txt");
  const tokenizer = join(folder, "tokenizer");
  const paragraph = "The rookery is the colony in which many penguins are raised, and the penguins are many. ";
  writeFileSync(texts, Array.from({ length: 40 }, (_, index) => `${index} ${paragraph}`).join("\n\n"));
  const train = ["tokenizer", "train", texts, "--out", tokenizer, "--vocabulary-size", "300"];
  const trained = await json([...train, "--max-document-characters", "256"]);
  assert.equal(trained.vocabularySize, 300);
  assert.ok(trained.charactersPerToken > 1);
  const again = await run(train);
  assert.equal(again.code, exitCodes.userMistake);
  assert.match(again.stderr, /holds a tokenizer already/);

  const text = "penguins, naïve 企鹅 <|eos|>";
  const { ids, characters } = await json(["tokenizer", "encode", tokenizer, text]);
  assert.equal(characters, text.length);
  assert.deepEqual((await json(["tokenizer", "encode", tokenizer], text)).ids, ids);
  assert.equal((await json(["tokenizer", "decode", tokenizer, ...ids.map(String)])).text, text);
  assert.equal((await run(["tokenizer", "decode", tokenizer], `[${ids.join(", ")}]`)).stdout, `${text}\n`);
  const special = (await json(["tokenizer", "encode", tokenizer, "<|eos|>", "--specials"])).ids;
  assert.equal(special.length, 1);
  assert.equal((await json(["tokenizer", "decode", tokenizer, String(special[0]), "--skip-specials"])).text, "");

  assert.match((await run(["tokenizer", "decode", tokenizer], "1 two")).stderr, /stdin has "two", which is no id/);
  assert.match((await run(["tokenizer", "encode", "nano", "x"])).stderr, /nano is a preset/);

  const counted = await json(["data", "inspect", texts, "--tokenizer", tokenizer, "--max-document-characters", "256"]);
  assert.ok(counted.tokens > 0);
});

test("data inspect counts, and says what it skipped", async () => {
  const file = join(folder, "records.jsonl");
  const long = "a sentence that is long enough to stay";
  writeFileSync(file, `{"text":"${long} once"}\n{"text":"${long} once"}\n{"text":"${long} twice"}\nbroken\n`);
  const report = await json(["data", "inspect", file]);
  assert.equal(report.format, "rookery-data-inspect/1");
  assert.equal(report.duplicates, 1);
  assert.deepEqual(report.problems, { malformed: 1 });
  const words = await run(["data", "inspect", file]);
  assert.match(words.stdout, /dropped: duplicate 1\nskipped: malformed 1/);
  assert.match(words.stderr, /warning: .*records\.jsonl:4: is not valid JSON; skipped/);
  const strict = await run(["data", "inspect", file, "--strict"]);
  assert.equal(strict.code, exitCodes.userMistake);
  assert.match(strict.stderr, /records\.jsonl:4: is not valid JSON; mend the record at that line/);
});

test("config schema is JSON Schema of the command's options", async () => {
  const { stdout } = await run(["config", "schema", "data", "inspect"]);
  const schema = JSON.parse(stdout);
  assert.equal(schema.$schema, "https://json-schema.org/draft/2020-12/schema");
  assert.equal(schema.properties.heldOutShare.maximum, 0.5);
  assert.match((await run(["config", "schema", "inof"])).stderr, /did you mean "info"/);
});

test("doctor names every part of the machine that Rookery needs", async () => {
  const { stdout } = await run(["doctor", "--json"]);
  const report = JSON.parse(stdout);
  const names = report.checks.map((check: { name: string }) => check.name);
  const kernelChecks = report.kernels.used === null ? ["kernels"] : ["kernels", "kernel run"];
  const kernels = ["kernel cache", "kernel levels", ...kernelChecks];
  const expected = ["rookery", "node", "compiler", ...kernels, "generated code", "memory", "disk"];
  assert.deepEqual(names, expected);
  if (report.kernels.used !== null) assert.ok(report.kernels.run.peakFlops > 0);
  assert.equal(
    report.isWell,
    report.checks.every((check: { isWell: boolean }) => check.isWell),
  );
  assert.ok(report.memory.totalBytes > 0 && report.disk.freeBytes > 0);
});
