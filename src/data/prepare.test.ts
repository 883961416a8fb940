import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { RookeryError } from "../base/errors.ts";
import type { RookeryEvent } from "../base/events.ts";
import { BatchStream } from "./batches.ts";
import { Dataset, manifestFile, shardFile } from "./dataset.ts";
import type { DocumentEncoder } from "./encoder.ts";
import { inspectData } from "./inspect.ts";
import { type DataOptionsInput, dataOptionsSchema } from "./options.ts";
import { type PreparedData, prepareData, textsForTokenizer } from "./prepare.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-prepare-"));
after(() => fs.rmSync(root, { recursive: true }));
let folders = 0;

function newFolder(files: Record<string, string | Uint8Array> = {}): string {
  const folder = path.join(root, `${folders++}`);
  fs.mkdirSync(folder);
  for (const [name, contents] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), contents);
  return folder;
}

/** One token a byte; 256 and 257 are the special ones. */
const encoder: DocumentEncoder = {
  encodeBatch: async (texts) => texts.map((text) => new TextEncoder().encode(text)),
  startOfText: 256,
  endOfText: 257,
  vocabularySize: 258,
  fingerprint: "bytes",
};

const decode = (tokens: Int32Array): string => {
  assert.deepEqual([tokens[0], tokens.at(-1)], [256, 257]);
  return new TextDecoder().decode(Uint8Array.from(tokens.subarray(1, -1)));
};

function textsOf(dataset: Dataset, split: "train" | "heldOut"): string[] {
  return dataset[split].flatMap(({ shard }) =>
    Array.from({ length: shard.documents }, (_, i) => decode(shard.document(i))),
  );
}

const sentence = (i: number): string => `Document ${i} is about the number ${i * 7919}, and about nothing else.`;
const jsonLines = (texts: readonly string[]): string => texts.map((text) => `${JSON.stringify({ text })}\n`).join("");

async function prepare(
  input: DataOptionsInput,
  cacheFolder = newFolder(),
  change: Partial<DocumentEncoder> = {},
): Promise<PreparedData & { events: RookeryEvent[]; cacheFolder: string }> {
  const events: RookeryEvent[] = [];
  const options = { data: dataOptionsSchema.parse(input), encoder: { ...encoder, ...change }, cacheFolder };
  const prepared = await prepareData(options, { onEvent: (event) => events.push(event) });
  return { ...prepared, events, cacheFolder };
}

const failsWith = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof RookeryError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

test("each document ends in one split, as its text decides, whatever else is there", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.nat(5000), { minLength: 40, maxLength: 80 }),
      fc.nat(10),
      async (numbers, less) => {
        const texts = numbers.map(sentence);
        const share = { heldOutShare: 0.2, data: [newFolder({ "a.jsonl": jsonLines(texts) })] };
        const first = await prepare(share);
        using dataset = first.dataset;
        assert.deepEqual([...textsOf(dataset, "train"), ...textsOf(dataset, "heldOut")].sort(), [...texts].sort());
        // Fewer documents, in another order, in other files.
        const kept = texts.slice(less).reverse();
        const files = { "b.jsonl": jsonLines(kept.slice(0, 5)), "c.jsonl": jsonLines(kept.slice(5)) };
        const second = await prepare({ ...share, data: [newFolder(files)] });
        using smaller = second.dataset;
        const heldOut = new Set(textsOf(dataset, "heldOut"));
        assert.deepEqual(textsOf(smaller, "heldOut").sort(), kept.filter((text) => heldOut.has(text)).sort());
      },
    ),
    { seed: 1, numRuns: 15 },
  );
});

test("the second time it comes from the cache; any change of contents, options or tokenizer makes it anew", async () => {
  const folder = newFolder({ "a.jsonl": jsonLines(Array.from({ length: 50 }, (_, i) => sentence(i))) });
  const first = await prepare({ data: [folder] });
  first.dataset.dispose();
  const { cacheFolder } = first;
  assert.equal(first.fromCache, false);
  const again = async (input: DataOptionsInput = {}, change: Partial<DocumentEncoder> = {}): Promise<boolean> => {
    const { dataset, fromCache } = await prepare({ data: [folder], ...input }, cacheFolder, change);
    dataset.dispose();
    return fromCache;
  };
  assert.equal(await again(), true);
  assert.equal(await again({ strict: true }), true);
  assert.equal(await again({}, { fingerprint: "other" }), false);
  assert.equal(await again({ heldOutShare: 0.3 }), false);
  assert.equal(await again({ filters: { minCharacters: 17 } }), false);
  fs.renameSync(path.join(folder, "a.jsonl"), path.join(folder, "z.jsonl"));
  assert.equal(await again(), true);
  fs.appendFileSync(path.join(folder, "z.jsonl"), jsonLines([sentence(1000)]));
  assert.equal(await again(), false);
  assert.ok(fs.readdirSync(cacheFolder).every((name) => /^data-[0-9a-f]{24}$/.test(name)));
});

test("a damaged cache is noticed and made anew", async () => {
  const folder = newFolder({ "a.jsonl": jsonLines(Array.from({ length: 50 }, (_, i) => sentence(i))) });
  const first = await prepare({ data: [folder] });
  const expected = textsOf(first.dataset, "train");
  const shard = shardFile(first.dataset.folder, 0, "train");
  const manifest = manifestFile(first.dataset.folder);
  first.dataset.dispose();
  const damages: (() => void)[] = [
    () => {
      const bytes = fs.readFileSync(shard);
      bytes[5000]! ^= 1;
      fs.writeFileSync(shard, bytes);
    },
    () => fs.truncateSync(shard, 6000),
    () => fs.rmSync(shard),
    () => fs.writeFileSync(manifest, "{"),
    () =>
      fs.writeFileSync(manifest, fs.readFileSync(manifest, "utf8").replace("rookery-dataset/1", "rookery-dataset/9")),
    () => fs.writeFileSync(manifest, fs.readFileSync(manifest, "utf8").replace(/"documents": \d+/, '"documents": -1')),
    () => fs.copyFileSync(shardFile(path.dirname(shard), 0, "heldOut"), shard),
  ];
  for (const damage of damages) {
    damage();
    assert.throws(() => {
      using dataset = Dataset.open(path.dirname(shard));
      dataset.verify();
    }, RookeryError);
    const { dataset, fromCache, events } = await prepare({ data: [folder] }, first.cacheFolder);
    assert.equal(fromCache, false);
    assert.ok(events.some((event) => event.type === "warning" && event.message.includes("made anew")));
    assert.deepEqual(textsOf(dataset, "train"), expected);
    dataset.dispose();
  }
});

test("what was dropped and what was wrong is counted, with file and line, also from the cache", async () => {
  const lines = [
    jsonLines([sentence(1), `  ${sentence(1)}\n`, "short", sentence(2), "spam and eggs ".repeat(40)]),
    "{bad\n",
  ];
  const folder = newFolder({ "a.jsonl": lines.join(""), "b.txt": Uint8Array.of(0xff, 0x0a), "c.xls": "1,2" });
  const first = await prepare({ data: [folder] });
  const [source] = first.dataset.manifest.sources;
  assert.deepEqual(source!.dropped, { duplicate: 1, tooShort: 1, repetitive: 1 });
  assert.deepEqual(source!.problems, { malformed: 1, invalidUtf8: 1 });
  assert.equal(source!.ignoredFiles, 1);
  const warnings = [
    `${folder}/a.jsonl:6: is not valid JSON; skipped`,
    `${folder}/b.txt:1: is not valid UTF-8; skipped`,
  ];
  const told = (events: RookeryEvent[]): string[] => events.flatMap((e) => (e.type === "warning" ? [e.message] : []));
  assert.deepEqual(told(first.events), warnings);
  first.dataset.dispose();
  const second = await prepare({ data: [folder] }, first.cacheFolder);
  assert.deepEqual([second.fromCache, told(second.events)], [true, warnings]);
  second.dataset.dispose();

  const badLine = failsWith("BAD_DATA", /a\.jsonl:6: is not valid JSON$/);
  await assert.rejects(prepare({ data: [folder], strict: true }), badLine);
  await assert.rejects(prepare({ data: [folder], strict: true }, first.cacheFolder), badLine);
});

test("an empty corpus, an unknown path and two sources of one name are one line each, and leave nothing behind", async () => {
  const cacheFolder = newFolder();
  const empty = newFolder({ "a.txt": "", "b.txt": "\n\n", "c.jsonl": '{"text": "short"}\n' });
  await assert.rejects(
    prepare({ data: [empty] }, cacheFolder),
    failsWith("BAD_DATA", /no document is left: 1 tooShort/),
  );
  await assert.rejects(prepare({ data: [newFolder()] }, cacheFolder), failsWith("BAD_DATA", /holds no documents/));
  await assert.rejects(prepare({ data: [path.join(root, "absent")] }), failsWith("FILE_UNREADABLE", /absent/));
  const good = newFolder({ "a.txt": sentence(1) });
  const twice = [1, 2].map(() => ({ path: good, name: "same" }));
  await assert.rejects(prepare({ data: twice }), failsWith("INVALID_OPTION", /"same"/));
  await assert.rejects(
    prepare({ data: [{ path: good, weight: 0 }] }, cacheFolder),
    failsWith("INVALID_OPTION", /nothing/),
  );
  const broken = { encodeBatch: async () => Promise.reject(new Error("encoder")) };
  await assert.rejects(prepare({ data: [good] }, cacheFolder, broken), /encoder/);
  assert.deepEqual(fs.readdirSync(cacheFolder), []);
});

test("an abort stops the work and leaves nothing behind", async () => {
  const folder = newFolder({ "a.jsonl": jsonLines(Array.from({ length: 50 }, (_, i) => sentence(i))) });
  const cacheFolder = newFolder();
  const controller = new AbortController();
  const encodeBatch: DocumentEncoder["encodeBatch"] = async (texts) => {
    controller.abort();
    controller.signal.throwIfAborted();
    return encoder.encodeBatch(texts);
  };
  const options = {
    data: dataOptionsSchema.parse({ data: [folder] }),
    encoder: { ...encoder, encodeBatch },
    cacheFolder,
  };
  await assert.rejects(prepareData(options, { signal: controller.signal }), { name: "AbortError" });
  await assert.rejects(prepareData(options, { signal: controller.signal }), { name: "AbortError" });
  assert.deepEqual(fs.readdirSync(cacheFolder), []);
});

test("something is held out even of a small corpus, nothing of a single document, nothing at share 0", async () => {
  const counts = async (texts: string[], heldOutShare: number): Promise<[number, number]> => {
    const { dataset } = await prepare({ data: [newFolder({ "a.jsonl": jsonLines(texts) })], heldOutShare });
    using opened = dataset;
    assert.deepEqual([...textsOf(opened, "train"), ...textsOf(opened, "heldOut")].sort(), [...texts].sort());
    return [opened.documents("train"), opened.documents("heldOut")];
  };
  const few = Array.from({ length: 6 }, (_, i) => sentence(i));
  assert.deepEqual(await counts(few, 1e-9), [5, 1]);
  assert.deepEqual(await counts([sentence(0)], 1e-9), [1, 0]);
  assert.deepEqual(await counts(few, 0), [6, 0]);
});

test("line breaks are made one; mixtures and tokenizer texts come from the same sources", async () => {
  const one = newFolder({ "one.txt": `\r\n\r\n${sentence(1)}\r\n${sentence(2)}\r${sentence(3)}\r\n` });
  const two = newFolder({ "two.jsonl": jsonLines(Array.from({ length: 30 }, (_, i) => sentence(i + 10))) });
  const data: DataOptionsInput["data"] = [
    { path: one, name: "one", weight: 1, license: "CC0-1.0" },
    { path: path.join(two, "*.jsonl"), name: "two", weight: 3, annealingWeight: 0 },
  ];
  const { dataset, mixtures } = await prepare({ data });
  using opened = dataset;
  assert.deepEqual(mixtures, { main: { one: 1, two: 3 }, annealing: { one: 1, two: 0 } });
  assert.equal(opened.manifest.sources[0]!.license, "CC0-1.0");
  const texts = textsOf(opened, "train");
  assert.ok(texts.includes([1, 2, 3].map(sentence).join("\n")));
  const forTokenizer: string[] = [];
  for await (const text of textsForTokenizer(dataOptionsSchema.parse({ data }))) forTokenizer.push(text);
  assert.deepEqual(forTokenizer.sort(), texts.sort());
  const stream = new BatchStream({
    sources: opened.train,
    rows: 2,
    sequenceLength: 64,
    seed: 1,
    mixture: mixtures.main,
  });
  assert.equal(stream.next().tokens.length, 128);

  const report = await inspectData({ data: dataOptionsSchema.parse({ data }), encoder });
  assert.equal(report.documents, 31);
  assert.equal(report.tokens, opened.tokens("train") + opened.tokens("heldOut") - 2 * 31);
  assert.equal(report.tokens, report.characters);
});

test("the schema says what can be said, and refuses the rest", () => {
  assert.deepEqual(dataOptionsSchema.parse({}).data, ["starter"]);
  for (const wrong of [
    { data: [] },
    { data: [{ path: "x", weight: -1 }] },
    { heldOutShare: 0.9 },
    { filters: { minChars: 3 } },
    { maxDocumentCharacters: 10 },
    { unknown: 1 },
  ]) {
    assert.equal(dataOptionsSchema.safeParse(wrong).success, false, JSON.stringify(wrong));
  }
});
