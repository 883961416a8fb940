import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { deflateRawSync, gzipSync } from "node:zlib";
import { RookeryError } from "../../base/errors.ts";
import { documentText, type SourceDocument } from "./document.ts";
import { DocumentReader } from "./read.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-documents-"));
const reader = new DocumentReader({ seconds: 30 });
after(async () => {
  await reader[Symbol.asyncDispose]();
  fs.rmSync(folder, { recursive: true });
});

const put = (name: string, bytes: string | Uint8Array): string => {
  const file = path.join(folder, name);
  fs.writeFileSync(file, bytes);
  return file;
};
const read = (name: string, bytes: string | Uint8Array): Promise<SourceDocument> => reader.read(put(name, bytes));
const refusal = (code: string, what: RegExp) => (error: unknown) =>
  error instanceof RookeryError && error.code === code && what.test(error.message) && !error.message.includes("\n");

/** An archive of files that are deflated. `claimed` is the size that it says they unpack to. */
function zipOf(files: Record<string, string | Uint8Array>, claimed?: number): Uint8Array {
  const parts: Buffer[] = [];
  const entries: Buffer[] = [];
  let at = 0;
  for (const [name, content] of Object.entries(files)) {
    const raw = Buffer.from(content as string);
    const packed = deflateRawSync(raw);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(crc32(raw), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(claimed ?? raw.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, Buffer.from(name), packed]);
    const offset = Buffer.alloc(14);
    offset.writeUInt32LE(at, 10);
    entries.push(Buffer.concat([Buffer.from("PK\x01\x02\x14\x00"), common, offset, Buffer.from(name)]));
    parts.push(local);
    at += local.length;
  }
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(Buffer.concat(entries).length, 8);
  end.writeUInt32LE(at, 12);
  return Buffer.concat([...parts, ...entries, Buffer.from("PK\x05\x06"), end]);
}

/** As gzip writes it at the end of its output. */
const crc32 = (bytes: Uint8Array): number => {
  const packed = gzipSync(bytes);
  return packed.readUInt32LE(packed.length - 8);
};

const wordXml = (body: string): string =>
  `<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>${body}</w:body></w:document>`;
const docx = (body: string, claimed?: number): Uint8Array =>
  zipOf(
    {
      "[Content_Types].xml":
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>',
      "_rels/.rels":
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>',
      "word/document.xml": wordXml(body),
    },
    claimed,
  );

const helvetica = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>";
/** Neither the font nor what its codes mean stands in the file. */
const chineseFont =
  "<< /Type /Font /Subtype /Type0 /BaseFont /STSong-Light /Encoding /GBK-EUC-H /DescendantFonts [<< /Type /Font /Subtype /CIDFontType0 " +
  "/BaseFont /STSong-Light /CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) /Supplement 2 >> " +
  "/FontDescriptor << /Type /FontDescriptor /FontName /STSong-Light /Flags 4 >> >>] >>";

/** A PDF of pages with one line of text each, as a string of PDF holds it. */
function pdf(pages: readonly string[], font = helvetica): string {
  const objects = [
    "<< /Type /Catalog /Pages 2 0 R >>",
    `<< /Type /Pages /Kids [${pages.map((_, i) => `${4 + 2 * i} 0 R`).join(" ")}] /Count ${pages.length} >>`,
    font,
    ...pages.flatMap((text, i) => {
      const content = text === "" ? "" : `BT /F1 12 Tf 72 700 Td ${text.startsWith("<") ? text : `(${text})`} Tj ET`;
      return [
        `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents ${5 + 2 * i} 0 R >>`,
        `<< /Length ${content.length} >>\nstream\n${content}\nendstream`,
      ];
    }),
  ];
  let file = "%PDF-1.4\n";
  const offsets = objects.map((object, i) => {
    const offset = file.length;
    file += `${i + 1} 0 obj\n${object}\nendobj\n`;
    return offset;
  });
  const table = offsets.map((offset) => `${String(offset).padStart(10, "0")} 00000 n \n`).join("");
  const start = file.length;
  return `${file}xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${table}trailer << /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${start}\n%%EOF`;
}

const sentence = "The emperor penguin breeds during the winter, and walks far over the ice to reach its colony. ";

test("HTML: the article by its headings, with its tables, without what surrounds it", async () => {
  const html = `<!doctype html><html lang="en"><head><title>Penguins</title><script>steal()</script></head><body>
    <nav><a href="/">Home</a> <a href="/login">Log in</a></nav>
    <article><h1>Emperor</h1><p>${sentence.repeat(6)}</p><h2>Sizes</h2><p>${sentence.repeat(4)}</p>
    <table><tr><th>kind</th><th>height</th></tr><tr><td>Emperor</td><td>1.2&nbsp;m</td></tr></table>
    <ul><li>one</li><li>two</li></ul></article></body></html>`;
  const document = await read("page.html", html);
  assert.equal(document.title, "Penguins");
  assert.equal(document.language, "en");
  assert.deepEqual(document.tables, [
    {
      page: null,
      heading: "Sizes",
      rows: [
        ["kind", "height"],
        ["Emperor", "1.2 m"],
      ],
    },
  ]);
  const text = documentText(document);
  assert.match(text, /Emperor \| 1\.2 m/);
  assert.match(text, /- one\n\n?- two/);
  assert.doesNotMatch(text, /steal|Log in/);
  assert.ok(document.sections.some(({ heading }) => heading === "Sizes"));
});

test("HTML in the encoding that it names, in any script", async () => {
  const gbk = Buffer.concat([
    Buffer.from('<html><head><meta charset="gbk"><title>'),
    Buffer.from([0xc6, 0xf3, 0xb6, 0xec]),
    Buffer.from("</title></head><body><p>"),
    Buffer.concat(Array.from({ length: 20 }, () => Buffer.from([0xc6, 0xf3, 0xb6, 0xec, 0xca, 0xc7, 0xc4, 0xf1]))),
    Buffer.from("</p></body></html>"),
  ]);
  const document = await read("gbk.htm", gbk);
  assert.equal(document.title, "企鹅");
  assert.equal(document.language, "zh");
  assert.match(document.sections[0]!.text, /^企鹅是鸟/);
  const arabic = await read("arabic.html", "<p>البطريق طائر لا يطير ويعيش في نصف الكرة الجنوبي من الأرض 🐧</p>");
  assert.equal(arabic.language, "ar");
  assert.match(documentText(arabic), /🐧$/);
});

test("PDF: page by page; pages without text are flagged", async () => {
  const document = await read("some.pdf", pdf([sentence, "", `second ${sentence}`]));
  assert.deepEqual(
    document.sections.map(({ page }) => page),
    [1, 2, 3],
  );
  assert.match(document.sections[2]!.text, /^second The emperor/);
  assert.deepEqual(document.flags, [{ kind: "emptyPage", page: 2 }]);
  const scan = await read("scan.pdf", pdf(["", "", "3"]));
  assert.ok(scan.flags.some(({ kind }) => kind === "scanned"));
});

test("PDF in Chinese by a map of characters that the file only names", async () => {
  // 企鹅是鸟, in GBK, five times
  const document = await read("企鹅 一.pdf", pdf([`<${"c6f3b6eccac7c4f1".repeat(5)}>`], chineseFont));
  assert.equal(documentText(document), "企鹅是鸟".repeat(5));
  assert.deepEqual([document.language, document.flags], ["zh", []]);
});

test("HTML: headings in boxes of their own, as DocBook has them, and ones that repeat the title", async () => {
  const section = (level: number, title: string, text: string): string =>
    `<div class="section"><div class="titlepage"><div><div><h${level} class="title"><a id="x"></a>${title}</h${level}></div></div><hr/></div>${text}</div>`;
  const where = section(3, "1.1. Where", `<p>${sentence.repeat(5)}</p>`);
  const others = section(2, "2. Others", `<p>${sentence.repeat(5)}</p>`);
  const body = section(1, "A book of penguins", section(2, "1. Emperors", where) + others);
  const document = await read(
    "docbook.html",
    `<html><head><title>A book of penguins</title></head><body>${body}</body></html>`,
  );
  assert.deepEqual(
    document.sections.map(({ heading, text }) => [heading, text === ""]),
    [
      ["A book of penguins", true],
      ["1. Emperors", true],
      ["1.1. Where", false],
      ["2. Others", false],
    ],
  );
});

test("DOCX: headings, paragraphs and tables", async () => {
  const paragraph = (text: string, style = ""): string =>
    `<w:p>${style === "" ? "" : `<w:pPr><w:pStyle w:val="${style}"/></w:pPr>`}<w:r><w:t>${text}</w:t></w:r></w:p>`;
  const cell = (text: string): string => `<w:tc>${paragraph(text)}</w:tc>`;
  const table = `<w:tbl><w:tr>${cell("年")}${cell("数")}</w:tr><w:tr>${cell("2024")}${cell("7")}</w:tr></w:tbl>`;
  const document = await read("some.docx", docx(`${paragraph("企鹅住在南半球。")}${table}`));
  assert.deepEqual(document.tables[0]?.rows, [
    ["年", "数"],
    ["2024", "7"],
  ]);
  assert.match(documentText(document), /企鹅住在南半球。\n\n年 \| 数\n2024 \| 7/);
});

test("Markdown: sections at headings outside of code, tables, the title of its front matter", async () => {
  const source = [
    "---\ntitle: The book\n---\nfirst words\n\n# One\n\n```sh\n# no heading\n```\n\n",
    "Two\n---\n\n| a | b\\|c |\n| - | :-: |\n| 1 | 2 |\n\nlast",
  ].join("");
  const document = await read("some.md", source);
  assert.equal(document.title, "The book");
  assert.deepEqual(
    document.sections.map(({ heading }) => heading),
    [null, "One", "Two"],
  );
  assert.match(document.sections[1]!.text, /# no heading/);
  assert.deepEqual(document.tables[0], {
    page: null,
    heading: "Two",
    rows: [
      ["a", "b|c"],
      ["1", "2"],
    ],
  });
});

test("a table is a document of one table", async () => {
  const document = await read("企鹅 数.csv", 'Kind,"Height, m"\nEmperor,1.2\n"帝企鹅\n(two lines)",1.1\n');
  assert.equal(document.kind, "table");
  assert.deepEqual(document.tables[0]?.rows, [
    ["Kind", "Height, m"],
    ["Emperor", "1.2"],
    ["帝企鹅 (two lines)", "1.1"],
  ]);
  assert.match(documentText(document), /^企鹅 数\n\nKind \| Height, m\nEmperor \| 1\.2\n/);
  const odd = await read("odd.tsv", "a\tb\n1\t2\n1\t2\t3\n");
  assert.deepEqual([odd.tables[0]?.rows.length, odd.flags], [2, [{ kind: "badRows", page: null }]]);
});

test("what cannot be read says so in one line, and the next document is read all the same", async () => {
  const bad = (name: string, bytes: string | Uint8Array, what: RegExp) =>
    assert.rejects(read(name, bytes), refusal("BAD_DATA", what), name);
  await bad("no.pdf", "%PDF-1.7 but then nothing", /no\.pdf is damaged, or no PDF/);
  await bad("empty.pdf", "", /damaged/);
  await bad("no.docx", "PK\u0003\u0004 nothing", /damaged, or no DOCX/);
  await bad("cut.docx", docx("<w:p/>").subarray(0, 300), /damaged, or no DOCX/);
  await bad("other.docx", zipOf({ "a.txt": "hello" }), /cannot be read as docx/);
  await bad("latin.md", Buffer.from([0x66, 0xfc, 0x72]), /not valid UTF-8/);
  await bad("empty.csv", "", /empty\.csv is empty/);
  await bad("head.csv", "a,b\n", /no rows below its head/);
  await bad("sheet.xls", "x", /of a kind that is not read/);
  await assert.rejects(reader.read(path.join(folder, "missing.html")), refusal("FILE_UNREADABLE", /ENOENT/));
  await assert.rejects(reader.read(put(".html", "x")), refusal("BAD_DATA", /kind/));
  assert.match(documentText(await read("after.md", "still here")), /still here/);
});

test("a bomb, a maze and a tar pit end at the limits", async () => {
  await using strict = new DocumentReader({ seconds: 5, megabytes: 128, fileMegabytes: 4 });
  const bomb = docx(`<w:p><w:r><w:t>${"a".repeat(64 * 2 ** 20)}</w:t></w:r></w:p>`, 1000);
  assert.ok(bomb.length < 1e6);
  await assert.rejects(strict.read(put("bomb.docx", bomb)), refusal("BAD_DATA", /unpacks to more than 32 MiB/));
  await assert.rejects(
    strict.read(put("maze.html", "<div>".repeat(300_000))),
    refusal("BAD_DATA", /nested too deeply|takes more than/),
  );
  await assert.rejects(
    strict.read(put("large.txt", "a ".repeat(2.1 * 2 ** 20))),
    refusal("BAD_DATA", /larger than 4 MiB/),
  );
  await using impatient = new DocumentReader({ seconds: 0.001 });
  await assert.rejects(impatient.read(put("slow.md", "a")), refusal("BAD_DATA", /takes more than 0.001 seconds/));
  await assert.rejects(strict.read(put("b.md", "a"), { signal: AbortSignal.abort(new Error("stop")) }), /stop/);
});
