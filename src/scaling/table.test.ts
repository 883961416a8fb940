import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { RookeryError } from "../base/errors.ts";
import { columnNames, parseCsv, readPoints, type TableRow, tableColumns } from "./table.ts";
import { readTable, writeTable } from "./table-file.ts";

const folder = mkdtempSync(join(tmpdir(), "rookery-table-"));
after(() => rmSync(folder, { recursive: true }));

const row: TableRow = {
  ...(Object.fromEntries(columnNames.map((name) => [name, null])) as TableRow),
  ...{ budget: 1e17, activated_parameters: 12_345_678, tokens: 1.25e9, loss: 3.0625, compute: 1.01e17 },
  ...{ batch_tokens: 65_536, noise_tokens: null, seed: 0, status: "done", run: "sweep-1", architecture: '{"a": 1}' },
};

test("a table comes back from Parquet as it was, failed rows aside", async () => {
  const file = join(folder, "sweep.parquet");
  await writeTable(file, [
    row,
    { ...row, status: "failed", loss: null, error: "out of memory" },
    { ...row, compute: null },
  ]);
  const points = await readTable(file);
  const point = { parameters: 12_345_678, tokens: 1.25e9, loss: 3.0625, batchTokens: 65_536, noiseTokens: null };
  assert.deepEqual(points, [
    { budget: 1e17, compute: 1.01e17, ...point },
    { budget: 1e17, compute: 1e17, ...point },
  ]);
});

test("every column goes into Parquet under its name and type", async () => {
  const { parquetMetadata } = await import("hyparquet");
  const { readFileSync } = await import("node:fs");
  const file = join(folder, "columns.parquet");
  await writeTable(file, [row]);
  const bytes = readFileSync(file);
  const { schema } = parquetMetadata(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  assert.deepEqual(
    schema.slice(1).map(({ name, type }) => [name, type]),
    columnNames.map((name) => [name, tableColumns[name].type === "number" ? "DOUBLE" : "BYTE_ARRAY"]),
  );
});

test("a table of somebody else's, as CSV, with columns of its own", async () => {
  const file = join(folder, "sweep.csv");
  writeFileSync(
    file,
    '\uFEFFnote,budget,tokens,activated_parameters,loss\r\n"a, ""b""",1e17,2e9,1e7,3.5\r\n\r\nc,1e17,1e9,2e7,3.25\n',
  );
  const points = await readTable(file);
  assert.deepEqual(
    points.map(({ parameters, loss }) => [parameters, loss]),
    [
      [1e7, 3.5],
      [2e7, 3.25],
    ],
  );
});

const cells = { budget: "1e17", activated_parameters: "1e7", tokens: "1e9", loss: "3" };
const bad: [changes: Record<string, unknown>, message: RegExp][] = [
  [{ loss: "NaN" }, /row 2: loss is "NaN".*remove it/s],
  [{ loss: Number.NaN }, /row 2: loss is NaN/],
  [{ loss: "" }, /row 2: loss is empty/],
  [{ budget: -1e17 }, /row 2: budget is -100000000000000000/],
  [{ tokens: Number.POSITIVE_INFINITY }, /row 2: tokens is Infinity/],
  [{ activated_parameters: "many" }, /row 2: activated_parameters is "many"/],
  [{ noise_tokens: 0 }, /row 2: noise_tokens is 0/],
];

for (const [changes, message] of bad) {
  test(`a row that is nonsense is named: ${JSON.stringify(changes)}`, () => {
    assert.throws(
      () => readPoints([cells, { ...cells, ...changes }], "sweep.csv"),
      (error) =>
        error instanceof RookeryError && error.code === "BAD_DATA" && message.test(`${error.message}\n${error.hint}`),
    );
  });
}

test("tables that are none", async () => {
  const refused = (pattern: RegExp) => (error: unknown) => error instanceof RookeryError && pattern.test(error.message);
  assert.throws(() => readPoints([], "t.csv"), refused(/no rows/));
  assert.throws(() => readPoints([{ budget: 1, tokens: 1 }], "t.csv"), refused(/no column activated_parameters, loss/));
  assert.throws(() => readPoints([{ ...cells, status: "failed" }], "t.csv"), refused(/no row that is done/));
  assert.throws(() => parseCsv('a,b\n"open,1\n', "t.csv"), refused(/no CSV at character 4/));
  assert.throws(() => parseCsv("a,b\n1,2,3\n", "t.csv"), refused(/row 1 has 3 cells and the heading 2/));
  const broken = join(folder, "broken.parquet");
  writeFileSync(broken, "PAR1 this is none PAR1");
  await assert.rejects(readTable(broken), refused(/no Parquet file/));
  await assert.rejects(readTable(join(folder, "missing.parquet")), refused(/does not exist/));
  await assert.rejects(readTable(join(folder, "table.xlsx")), refused(/neither in .parquet nor in .csv/));
});

test("no CSV makes it throw anything but a RookeryError", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'a1,"\r\n.e-') }), (text) => {
      try {
        readPoints(parseCsv(`budget,activated_parameters,tokens,loss\n${text}`, "t.csv"), "t.csv");
      } catch (error) {
        assert.ok(error instanceof RookeryError, String(error));
      }
    }),
    { seed: 8, numRuns: 300 },
  );
});
