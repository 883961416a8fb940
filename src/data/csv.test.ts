import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { parseCsvLines } from "./csv.ts";

it("cells of any text come back", () => {
  const cell = fc.string({ unit: fc.constantFrom(..."a ,\"'\n\r企🐧") });
  fc.assert(
    fc.property(fc.array(fc.array(cell, { minLength: 1, maxLength: 4 }), { maxLength: 5 }), (lines) => {
      const text = lines.map((cells) => cells.map((one) => `"${one.replaceAll('"', '""')}"`).join(",")).join("\r\n");
      const expected = lines.filter((cells) => cells.some((one) => one !== ""));
      assert.deepEqual(parseCsvLines(text, "x.csv"), expected);
    }),
    { seed: 9 },
  );
});

it("bare cells, a byte order mark, and a cell longer than any stack", () => {
  const long = "x".repeat(2_000_000);
  assert.deepEqual(parseCsvLines(`\uFEFFa,b\n1,\n"${long}",2`, "x.csv"), [
    ["a", "b"],
    ["1", ""],
    [long, "2"],
  ]);
  assert.throws(() => parseCsvLines('a,b\n1,"2', "x.csv"), {
    code: "BAD_DATA",
    message: "x.csv is no CSV at character 6",
  });
});
