import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { DuckDBInstance } from "@duckdb/node-api";
import fc from "fast-check";
import { readConversation } from "./chat.ts";
import { ChatFaults, readChatFiles } from "./chat-files.ts";
import { readFileDocuments } from "./files.ts";
import { readTableRows, type TableFormat } from "./tables.ts";

// a folder whose name is a pattern, and a quote
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-tables-[a]*'"));
after(() => fs.rmSync(folder, { recursive: true }));

const put = (name: string, bytes: string | Uint8Array): string => {
  const file = path.join(folder, name);
  fs.writeFileSync(file, bytes);
  return file;
};

/** Writes what a query gives as Parquet. */
async function parquet(name: string, query: string): Promise<string> {
  const instance = await DuckDBInstance.create(":memory:", { threads: "1" });
  const connection = await instance.connect();
  const file = path.join(folder, name);
  await connection.run(`COPY (${query}) TO '${file.replaceAll("'", "''")}' (FORMAT parquet)`);
  connection.closeSync();
  return file;
}

async function documentsOf(file: string, textField?: string): Promise<{ texts: string[]; problems: string[] }> {
  const problems: string[] = [];
  const documents = readFileDocuments(file, {
    textField,
    maxDocumentCharacters: 1000,
    problem: (kind, line, what) => problems.push(`${kind} ${line} ${what}`),
  });
  const texts: string[] = [];
  for await (const { text } of documents) texts.push(text);
  return { texts, problems };
}

test("a column of text is found by its name, or is the only one, or is named", async () => {
  const csv = put("a.csv", '\ufeffid,Text\n1,"hello, ""you""\nand you"\n2,中文 😀\n3,\n4,مرحبا\n');
  assert.deepEqual(await documentsOf(csv), {
    texts: ['hello, "you"\nand you', "中文 😀", "مرحبا"],
    problems: ["missingField 3 is a row without text"],
  });
  assert.deepEqual((await documentsOf(csv, "id")).texts, ["1", "2", "3", "4"]);
  assert.deepEqual(await documentsOf(csv, "body"), {
    texts: [],
    problems: ['missingField null has no column "body" (it has "id", "Text")'],
  });
  assert.deepEqual((await documentsOf(put("one.csv", "line\na; b\nc | d\n"))).texts, ["a; b", "c | d"]);
  assert.deepEqual((await documentsOf(put("semicolons.csv", "n;text\n1;a, b\n2;c\n"))).texts, ["a, b", "c"]);
  assert.deepEqual((await documentsOf(put("tabs.tsv.gz", gzipSync("n\ttext\n1\ta, b\n")))).texts, ["a, b"]);
  const many = await parquet("many.parquet", "SELECT i AS n, 'text ' || i AS content FROM range(5000) t(i)");
  const { texts, problems } = await documentsOf(many);
  assert.deepEqual([texts.length, texts[4999], problems], [5000, "text 4999", []]);
});

test("conversations stand in columns: of text, of lists, or as JSON", async () => {
  const read = async (file: string) => {
    const faults = new ChatFaults({});
    const records = await readChatFiles([file], readConversation, faults, {});
    return { values: records.map(({ value }) => value.messages.map(({ content }) => content)), counts: faults.counts };
  };
  const lists = await parquet(
    "lists.parquet",
    "SELECT [{'role': 'user', 'content': 'hi ' || i}, {'role': 'assistant', 'content': 'yo'}] AS messages, 'x'::BLOB AS picture FROM range(3) t(i)",
  );
  assert.deepEqual(await read(lists), {
    values: [
      ["hi 0", "yo"],
      ["hi 1", "yo"],
      ["hi 2", "yo"],
    ],
    counts: {},
  });
  const turns = JSON.stringify([
    { from: "human", value: "你好" },
    { from: "gpt", value: "好" },
  ]);
  const json = put("json.csv", `conversations\n"${turns.replaceAll('"', '""')}"\n"[{broken"\n`);
  assert.deepEqual(await read(json), { values: [["你好", "好"]], counts: { unknownForm: 1 } });
  const alpaca = put("alpaca.csv", "instruction,input,output\nadd,1 and 2,3\nadd,,\n");
  assert.deepEqual(await read(alpaca), { values: [["add\n\n1 and 2", "3"]], counts: { unknownForm: 1 } });
});

test("rows that are no rows, and files that are no tables, are a problem each", async () => {
  const ragged = put("ragged.csv", Buffer.from("a,text\n1,x\n2,y,z\n3,w\n4,\xff\n5,v\n", "latin1"));
  const { texts, problems } = await documentsOf(ragged);
  assert.deepEqual(texts, ["x", "w", "v"]);
  assert.equal(problems.length, 2);
  assert.match(problems[0]!, /^malformed 3 is no row of the table/);
  assert.match(problems[1]!, /^malformed 5 is no row of the table/);
  const whole = fs.readFileSync(await parquet("whole.parquet", "SELECT 'text ' || i AS text FROM range(20000) t(i)"));
  for (const [name, bytes] of [
    ["empty.csv", ""],
    ["empty.parquet", ""],
    ["text.parquet", "this is no table"],
    ["cut.parquet", whole.subarray(0, whole.length - 20)],
    ["zeros.csv", Buffer.alloc(1000)],
    ["cut.csv.gz", gzipSync("text\na\n").subarray(0, 12)],
  ] as const) {
    const found = await documentsOf(put(name, bytes));
    assert.deepEqual([found.texts, found.problems.length], [[], 1], `${name} ${found.problems}`);
    assert.ok(!found.problems[0]!.includes("\n"), found.problems[0]);
  }
  assert.match((await documentsOf(path.join(folder, "missing.csv"))).problems[0]!, /ENOENT/);
});

test("damage anywhere in a file is told and crashes nothing", async () => {
  const whole = fs.readFileSync(await parquet("some.parquet", "SELECT 'text ' || i AS text, i FROM range(500) t(i)"));
  const change = fc.record({ at: fc.nat(whole.length - 1), byte: fc.nat(255) });
  const property = fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
    const bytes = Buffer.from(whole);
    for (const { at, byte } of changes) bytes[at] = byte;
    await documentsOf(put("damaged.parquet", bytes));
  });
  await fc.assert(property, { seed: 3, numRuns: 40 });
});

test("nothing but the named file is opened", async () => {
  put("secret.csv", "text\nsecret\n");
  const problems: string[] = [];
  const asked = readTableRows(path.join(folder, "*.csv"), "csv" satisfies TableFormat, {
    problem: (_kind, _row, what) => problems.push(what),
  });
  assert.deepEqual(await Array.fromAsync(asked), []);
  assert.equal(problems.length, 1);
});
