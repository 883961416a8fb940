import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { RookeryError } from "../base/errors.ts";
import { fileFormat, readFileDocuments, resolveFiles } from "./files.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-files-"));
after(() => fs.rmSync(folder, { recursive: true }));

function put(name: string, contents: string | Uint8Array): string {
  const file = path.join(folder, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, contents);
  return file;
}

type Outcome = { texts: string[]; lines: number[]; problems: string[] };

async function read(file: string, options: { textField?: string; max?: number } = {}): Promise<Outcome> {
  const outcome: Outcome = { texts: [], lines: [], problems: [] };
  const documents = readFileDocuments(file, {
    textField: options.textField,
    maxDocumentCharacters: options.max ?? 16_384,
    problem: (kind, line, what) => outcome.problems.push(`${kind} ${line}: ${what}`),
  });
  for await (const { text, line } of documents) {
    outcome.texts.push(text);
    outcome.lines.push(line);
  }
  return outcome;
}

test("formats come from the name", () => {
  assert.deepEqual(fileFormat("a/b.TXT"), { format: "text", compression: "none" });
  assert.deepEqual(fileFormat("b.jsonl.gz"), { format: "jsonl", compression: "gzip" });
  assert.deepEqual(fileFormat("b.md.zst"), { format: "text", compression: "zstd" });
  for (const name of ["a.parquet.gz", "a.xls", "a.gz", "a", "a.txt.bz2", ".txt"])
    assert.equal(fileFormat(name), null, name);
});

test("plain, gzip and zstd files give the same documents, in several frames too", async () => {
  const halves = ['{"text": "one 鹅"}\n{"text": "tw', 'o"}\n"three"\n'];
  const plain = await read(put("x.jsonl", halves.join("")));
  assert.deepEqual(plain, { texts: ["one 鹅", "two", "three"], lines: [1, 2, 3], problems: [] });
  const frames = (compress: (text: string) => Uint8Array): Uint8Array => Buffer.concat(halves.map(compress));
  assert.deepEqual(
    await read(
      put(
        "x.jsonl.gz",
        frames((text) => gzipSync(text)),
      ),
    ),
    plain,
  );
  assert.deepEqual(
    await read(
      put(
        "x.jsonl.zst",
        frames((text) => zstdCompressSync(text)),
      ),
    ),
    plain,
  );
  const skippable = Buffer.alloc(13);
  skippable.writeUInt32LE(0x184d2a53);
  skippable.writeUInt32LE(5, 4);
  const params = { [constants.ZSTD_c_checksumFlag]: 1 };
  const checksummed = frames((text) => zstdCompressSync(text, { params }));
  assert.deepEqual(await read(put("y.jsonl.zst", Buffer.concat([skippable, checksummed]))), plain);
});

test("a damaged archive is one problem, and what came before it is kept", async () => {
  const text = Array.from({ length: 60_000 }, (_, i) => `{"text": "document ${(i * 7919) % 10_007}"}`).join("\n");
  for (const [name, bytes] of [["gz", gzipSync(text)] as const, ["zst", zstdCompressSync(text)] as const]) {
    const { texts, problems } = await read(put(`cut.jsonl.${name}`, bytes.subarray(0, bytes.length - 5000)));
    const damage = problems.filter((problem) => problem.startsWith("unreadable"));
    assert.equal(damage.length, 1, problems.join());
    assert.match(damage[0]!, /^unreadable \d{4,}: cannot be decompressed/);
    assert.ok(texts.length > 1000);
  }
  assert.match((await read(put("no.txt.zst", "not zstd"))).problems.join(), /^unreadable 1: cannot be decompressed/);
  assert.match(
    (await read(put("tail.txt.zst", Buffer.concat([zstdCompressSync("a"), Buffer.from("x")])))).problems.join(),
    /^unreadable 1: /,
  );
  assert.match((await read(put("empty.txt.zst", ""))).problems.join(), /^unreadable 1: /);
  assert.match((await read(put("no.txt.gz", "not gzip"))).problems.join(), /^unreadable 1: cannot be decompressed/);
  assert.match(
    (await read(path.join(folder, "absent.txt"))).problems.join(),
    /^unreadable null: cannot be read \(ENOENT\)$/,
  );
  assert.match((await read(path.join(folder, "absent.txt.gz"))).problems.join(), /^unreadable null: .*ENOENT/);
});

test("lines of JSON: each bad one is named, the others are kept", async () => {
  const bytes = Buffer.concat([
    Buffer.from('\ufeff{"text": "first"}\r\n'),
    Buffer.from('{"text": \n\n{"body": "third"}\n{"txt": "x", "n": 1}\n7\n{"text": "\\ud800"}\n{"text": "'),
    Uint8Array.of(0xe9),
    Buffer.from('"}\n{"text": 5, "content": "last"}'),
  ]);
  const { texts, lines, problems } = await read(put("bad.jsonl", bytes));
  assert.deepEqual(texts, ["first", "third", "last"]);
  assert.deepEqual(lines, [1, 4, 9]);
  assert.deepEqual(problems, [
    "malformed 2: is not valid JSON",
    'missingField 5: has no field of text among its fields (it has "txt", "n")',
    "malformed 6: is neither an object nor a string",
    "malformed 7: has half of a surrogate pair in its text",
    "invalidUtf8 8: is not valid UTF-8",
  ]);
  const named = await read(put("named.jsonl", '{"text": "a", "prose": "b"}\n{"text": "c"}\n'), { textField: "prose" });
  assert.deepEqual(named.texts, ["b"]);
  assert.deepEqual(named.problems, ['missingField 2: has no field "prose" (it has "text")']);
  const proto = await read(put("proto.jsonl", '{"a": 1}\n'), { textField: "toString" });
  assert.equal(proto.problems.length, 1);
});

test("JSON arrays, single objects, and what is wrong inside of them", async () => {
  const array = await read(put("a.json", '\ufeff[\n {"text": "one"},\n {"text": nope},\n "two"\n]\n'));
  assert.deepEqual(array.texts, ["one", "two"]);
  assert.deepEqual(array.problems, ["malformed 3: is not valid JSON"]);
  assert.deepEqual((await read(put("o.json", '{\n "content": "whole"\n}'))).texts, ["whole"]);
  assert.deepEqual((await read(put("u.json", '[{"text": "one"},\n {"text": "tw'))).problems, [
    "malformed 2: is where an unfinished JSON value begins",
  ]);
  assert.deepEqual(await read(put("empty.json", "")), { texts: [], lines: [], problems: [] });
});

test("plain text: cut at pauses, broken lines take their paragraph along", async () => {
  const paragraphs = Array.from({ length: 20 }, (_, i) => `Paragraph ${i} has a few words.\r\nAnd a second line.`);
  const { texts, lines } = await read(put("long.md", paragraphs.join("\r\n\r\n")), { max: 256 });
  assert.ok(texts.length > 3 && texts.every((text) => text.length <= 256 && /^Paragraph/.test(text)));
  assert.equal(texts.join("").trimEnd(), paragraphs.join("\n\n").replaceAll("\r\n", "\n"));
  assert.ok(lines.every((line) => line % 3 === 1));

  const bad = Buffer.concat([
    Buffer.from("Before the damage.\n\nIn the same paragraph\n"),
    Uint8Array.of(0x63, 0x61, 0x66, 0xe9),
    Buffer.from("\nstill in it\n\nAfter the damage.\n"),
  ]);
  const damaged = await read(put("latin.txt", bad));
  assert.deepEqual(damaged.problems, ["invalidUtf8 4: is not valid UTF-8"]);
  assert.equal(damaged.texts.join("").trim(), "After the damage.");
  assert.deepEqual((await read(put("utf16.txt", Buffer.from("\ufeffhello", "utf16le")))).problems, [
    "invalidUtf8 1: is UTF-16, not UTF-8",
  ]);
  assert.deepEqual(await read(put("blank.txt", "\n \n\r\n")), { texts: [], lines: [], problems: [] });
});

test("a text without a line break is read in bounded pieces, and whole", async () => {
  const text = "鹅 and penguin. ".repeat(20_000);
  const { texts } = await read(put("oneline.txt", text), { max: 1000 });
  assert.ok(texts.every((one) => one.length <= 1000));
  assert.equal(texts.join("").trim(), text.trim());
});

test("files, folders and globs in a fixed order; hidden and foreign files are left out", async () => {
  for (const name of ["b.txt", "a.md", "sub/c.jsonl.gz", "sub/d.xls", ".hidden/e.txt", ".f.txt"])
    put(`tree/${name}`, "x");
  fs.symlinkSync(path.join(folder, "tree"), path.join(folder, "tree/loop"));
  fs.symlinkSync(path.join(folder, "x.jsonl"), path.join(folder, "tree/link.jsonl"));
  fs.symlinkSync(path.join(folder, "nowhere"), path.join(folder, "tree/z-broken.txt"));
  const unreadable: string[] = [];
  const resolve = (pattern: string): ReturnType<typeof resolveFiles> =>
    resolveFiles(path.join(folder, pattern), (file) => unreadable.push(path.basename(file)));
  const names = (files: string[]): string[] => files.map((file) => path.relative(path.join(folder, "tree"), file));
  const tree = await resolve("tree");
  assert.deepEqual(names(tree.files), ["a.md", "b.txt", "link.jsonl", "sub/c.jsonl.gz"]);
  assert.equal(tree.ignored, 1);
  assert.deepEqual(unreadable, ["z-broken.txt"]);
  assert.deepEqual(names((await resolve("tree/**/*.{txt,gz}")).files), ["b.txt", "sub/c.jsonl.gz"]);
  assert.deepEqual(names((await resolve("tree/b.txt")).files), ["b.txt"]);

  const failsWith = (code: string) => (error: unknown) => error instanceof RookeryError && error.code === code;
  await assert.rejects(resolve("nowhere.txt"), failsWith("FILE_UNREADABLE"));
  await assert.rejects(resolve("tree/*.parquet"), failsWith("FILE_UNREADABLE"));
  await assert.rejects(resolve("tree/sub/d.xls"), failsWith("BAD_DATA"));
});

test("HTML among data: its text cut as plain text is, and what cannot be used of it named", async () => {
  const html = `<html><body><h1>企鹅</h1>${"<p>The emperor penguin breeds on the ice in winter.</p>".repeat(40)}</body></html>`;
  const page = await read(put("people/页 one.html", html), { max: 600 });
  assert.ok(page.texts.length > 2 && page.texts.every((text) => text.length <= 600));
  assert.match(page.texts[0]!, /^企鹅\n\nThe emperor penguin/);
  assert.deepEqual(page.problems, []);
  const empty = await read(put("people/empty.html", "<p> </p>"));
  assert.deepEqual(empty, {
    texts: [],
    lines: [],
    problems: ["unreadableDocument null: has no text that can be read"],
  });
  const damaged = await read(put("people/damaged.pdf", "no pdf"));
  assert.deepEqual(damaged.problems, ["unreadableDocument null: is damaged, or no PDF"]);
  assert.equal(fileFormat("a.pdf.gz"), null);
});

test("what a caller throws at a problem of a table is thrown as it is", async () => {
  const problem = (_kind: string, _line: number | null, what: string) => {
    throw new RookeryError("BAD_DATA", what, "stop");
  };
  const documents = readFileDocuments(put("columns.csv", "a,b\n1,2\n"), {
    ...{ textField: undefined, maxDocumentCharacters: 100, problem },
  });
  await assert.rejects(documents.next(), { message: /^has no column of text/ });
});
