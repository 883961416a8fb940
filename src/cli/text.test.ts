import assert from "node:assert/strict";
import { test } from "node:test";
import { alignColumns, formatBytes, formatDuration, oneLine, shortNumber } from "./text.ts";

test("numbers keep three digits and the usual suffixes", () => {
  const expected: [number, string][] = [
    [0, "0"],
    [0.0312, "0.0312"],
    [5, "5"],
    [8.4, "8.4"],
    [100, "100"],
    [4096, "4096"],
    [12_345, "12.3K"],
    [100_000, "100K"],
    [999_999, "1000K"],
    [8_400_000, "8.4M"],
    [388_700_000_000, "389B"],
    [7e12, "7T"],
  ];
  for (const [value, text] of expected) assert.equal(shortNumber(value), text);
});

test("bytes and durations", () => {
  assert.equal(formatBytes(0), "0 B");
  assert.equal(formatBytes(81_920), "80 KiB");
  assert.equal(formatBytes(1.5 * 1024 ** 3), "1.5 GiB");
  assert.equal(formatDuration(65), "1:05");
  assert.equal(formatDuration(3725), "1:02:05");
  assert.equal(formatDuration(Number.POSITIVE_INFINITY), "?");
});

test("text for a terminal has no control characters and one line", () => {
  assert.equal(oneLine("a\r\n\tb\u001b]0;title\u0007c\u202ed"), "a b�]0;title�c�d");
});

test("columns are aligned and the last is not padded", () => {
  assert.deepEqual(
    alignColumns([
      ["a", "b"],
      ["ccc", "d"],
    ]),
    ["a    b", "ccc  d"],
  );
});

test("numbers are aligned to the right, and long words of a last column are wrapped under it", () => {
  assert.deepEqual(
    alignColumns(
      [
        ["a", "1"],
        ["b", "100"],
      ],
      { numbersFrom: 1 },
    ),
    ["a    1", "b  100"],
  );
  assert.deepEqual(alignColumns([["--x", "one two three four five six"]], { width: 26 }), [
    "--x  one two three four",
    "     five six",
  ]);
});
