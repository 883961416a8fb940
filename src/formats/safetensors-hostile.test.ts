import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { RookeryError } from "../base/errors.ts";
import { SafetensorsFile, writeSafetensors } from "./safetensors.ts";
import { parseHeader } from "./safetensors-header.ts";

let folder = "";
let file = "";
before(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-hostile-"));
  file = path.join(folder, "x.safetensors");
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

function writeRaw(header: string | Uint8Array, dataBytes: number, declaredLength?: bigint): void {
  const bytes = typeof header === "string" ? Buffer.from(header) : header;
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(declaredLength ?? BigInt(bytes.length));
  fs.writeFileSync(file, Buffer.concat([prefix, bytes, Buffer.alloc(dataBytes)]));
}

const tensor = (fields: string): string => `{"a":{${fields}}}`;
const good = '"dtype":"U8","shape":[4],"data_offsets":[0,4]';

describe("hostile headers", () => {
  const refused: [what: string, header: string | Uint8Array, dataBytes: number, message: RegExp, code?: string][] = [
    ["empty header", "", 0, /start with \{/],
    ["a list", "[]", 0, /start with \{/],
    ["leading space", ` ${tensor(good)}`, 4, /start with \{/],
    ["a byte order mark", `\ufeff${tensor(good)}`, 4, /start with \{/],
    ["broken JSON", '{"a":', 0, /is expected/],
    ["a comma too many", `{"a":{${good}},}`, 4, /a string is expected/],
    ["an unended string", '{"a', 0, /no end/],
    ["an escape at the end", '{"a\\', 0, /no end/],
    ["an unknown escape", '{"\\x":1}', 0, /unknown escape/],
    ["a raw control character", '{"a\n":1}', 0, /control character/],
    ["half a character", `{"\\ud800":{${good}}}`, 4, /surrogate/],
    ["something after it", `${tensor(good)}{}`, 4, /follows/],
    ["zero bytes as padding", `${tensor(good)}\0\0`, 4, /follows/],
    ["not UTF-8", Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d), 0, /UTF-8/],
    ["overlong UTF-8", Uint8Array.of(0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x7d), 0, /UTF-8/],
    ["a name twice", `{"a":{${good}},"a":{${good}}}`, 4, /"a" stands there twice/],
    ["a name twice, once escaped", `{"a":{${good}},"\\u0061":{${good}}}`, 4, /"a" stands there twice/],
    ["a key twice", tensor(`${good},"dtype":"U8"`), 4, /"dtype" stands there twice/],
    ["metadata twice", '{"__metadata__":{},"__metadata__":{}}', 0, /twice/],
    ["an unknown key", tensor(`${good},"strides":[1]`), 4, /unknown key "strides"/],
    ["no shape", tensor('"dtype":"U8","data_offsets":[0,4]'), 4, /has no shape/],
    ["no object", '{"a":1}', 4, /\{ is expected/],
    ["null", '{"a":null}', 4, /\{ is expected/],
    ["metadata that is no string", '{"__metadata__":{"a":1}}', 0, /metadata "a" is no string/],
    ["nested metadata", '{"__metadata__":{"a":{}}}', 0, /metadata "a" is no string/],
    ["metadata as a list", '{"__metadata__":[]}', 0, /\{ is expected/],
    [
      "an unknown type",
      tensor('"dtype":"F4","shape":[4],"data_offsets":[0,4]'),
      4,
      /unknown type "F4"/,
      "UNKNOWN_FORMAT",
    ],
    [
      "a prototype's key as type",
      tensor('"dtype":"toString","shape":[],"data_offsets":[0,4]'),
      4,
      /type/,
      "UNKNOWN_FORMAT",
    ],
    ["a negative size", tensor('"dtype":"U8","shape":[-4],"data_offsets":[0,4]'), 4, /whole number/],
    ["a fraction", tensor('"dtype":"U8","shape":[4.0],"data_offsets":[0,4]'), 4, /whole number/],
    ["an exponent", tensor('"dtype":"U8","shape":[4e0],"data_offsets":[0,4]'), 4, /whole number/],
    ["a leading zero", tensor('"dtype":"U8","shape":[04],"data_offsets":[0,4]'), 4, /whole number/],
    ["a number as a string", tensor('"dtype":"U8","shape":["4"],"data_offsets":[0,4]'), 4, /whole number/],
    ["a number over 2^53", tensor('"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,4]'), 4, /too large/],
    [
      "a shape that overflows",
      tensor('"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]'),
      0,
      /overflows/,
    ],
    ["bytes that overflow", tensor('"dtype":"F64","shape":[2251799813685248],"data_offsets":[0,0]'), 0, /overflows/],
    [
      "an overflow hidden by 0",
      tensor('"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]'),
      0,
      /overflows/,
    ],
    ["33 dimensions", tensor(`"dtype":"U8","shape":[${Array(33).fill(1)}],"data_offsets":[0,1]`), 1, /longer than 32/],
    ["one offset", tensor('"dtype":"U8","shape":[4],"data_offsets":[4]'), 4, /two data_offsets/],
    ["three offsets", tensor('"dtype":"U8","shape":[4],"data_offsets":[0,4,4]'), 4, /two data_offsets/],
    ["offsets backwards", tensor('"dtype":"U8","shape":[4],"data_offsets":[4,0]'), 4, /lies at bytes 4 to 0/],
    ["an end past the file", tensor('"dtype":"U8","shape":[9],"data_offsets":[0,9]'), 4, /lies at bytes 0 to 9/],
    ["a shape too small for its bytes", tensor('"dtype":"U8","shape":[3],"data_offsets":[0,4]'), 4, /needs 3/],
    ["a shape too large for its bytes", tensor('"dtype":"F32","shape":[4],"data_offsets":[0,4]'), 4, /needs 16/],
    ["a start after 0", tensor('"dtype":"U8","shape":[4],"data_offsets":[1,5]'), 5, /leaves a gap/],
    ["bytes of no tensor", tensor(good), 5, /belong to no tensor/],
    [
      "an overlap",
      '{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}',
      6,
      /"b" overlaps/,
    ],
    [
      "a gap",
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}',
      3,
      /"b" leaves a gap/,
    ],
    [
      "two tensors in one place",
      '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
      1,
      /"b" overlaps/,
    ],
  ];
  for (const [what, header, dataBytes, message, code = "FILE_DAMAGED"] of refused) {
    it(`refuses ${what}`, () => {
      writeRaw(header, dataBytes);
      assert.throws(
        () => SafetensorsFile.open(file),
        (error: unknown) => {
          assert.ok(error instanceof RookeryError);
          assert.match(error.message, message);
          assert.ok(error.message.startsWith(file) && !error.message.includes("\n"));
          assert.equal(error.code, code);
          return true;
        },
      );
    });
  }

  it("refuses lengths that the file cannot have, before it allocates", () => {
    for (const [length, message] of [
      [100_000_001n, /is over 100000000/],
      [2n ** 63n + 1n, /is over/],
      [2n ** 64n - 1n, /is over/],
      [99_999_999n, /cut short/],
      [BigInt(tensor(good).length + 5), /cut short/],
    ] as const) {
      writeRaw(tensor(good), 4, length);
      assert.throws(() => SafetensorsFile.open(file), { code: "FILE_DAMAGED", message });
    }
  });

  it("names files that are no safetensors at all", () => {
    for (const size of [0, 7]) {
      fs.writeFileSync(file, Buffer.alloc(size));
      assert.throws(() => SafetensorsFile.open(file), { code: "FILE_DAMAGED", message: /too few/ });
    }
    assert.throws(() => SafetensorsFile.open(folder), { code: "FILE_UNREADABLE", message: /regular file/ });
    assert.throws(() => SafetensorsFile.open(path.join(folder, "none")), { code: "FILE_UNREADABLE" });
  });

  it("takes what the format allows: any order, spaces, escapes, empty tensors, odd names", () => {
    writeRaw(
      '{"b" : {"shape":[ 2 ] ,"data_offsets":[4,6],"dtype":"U8"},\n"__proto__":{"dtype":"F32","shape":[],"data_offsets":[0,4]},' +
        '"\\u0061\\n":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]}}   ',
      6,
    );
    using opened = SafetensorsFile.open(file);
    assert.deepEqual([...opened.tensors.keys()], ["__proto__", "a\n", "b"]);
  });

  it("survives strings and nesting of megabytes", () => {
    const megabytes = "x".repeat(4_000_000);
    writeRaw(`{"${megabytes}":1}`, 0);
    assert.throws(() => SafetensorsFile.open(file), { code: "FILE_DAMAGED", message: /^.{0,400}$/ });
    writeRaw(`{"a":${'{"a":'.repeat(1_000_000)}`, 0);
    assert.throws(() => SafetensorsFile.open(file), { code: "FILE_DAMAGED" });
    writeRaw(`{"a":{"dtype":"U8","shape":[${"1".repeat(4_000_000)}]`, 0);
    assert.throws(() => SafetensorsFile.open(file), { code: "FILE_DAMAGED", message: /^.{0,400}$/ });
  });

  it("answers any mutation of a good header with a header or a RookeryError", () => {
    const source = path.join(folder, "good.safetensors");
    writeSafetensors(
      source,
      [
        { name: "model.embed_tokens.weight", dtype: "BF16", shape: [3, 2], bytes: new Uint8Array(12) },
        { name: "model.norm.weight", dtype: "F32", shape: [2], bytes: new Uint8Array(8) },
      ],
      { format: "pt" },
    );
    const bytes = fs.readFileSync(source);
    const headerLength = Number(bytes.readBigUInt64LE(0));
    const header = bytes.subarray(8, 8 + headerLength);
    const mutation = fc.record({
      at: fc.integer({ min: 0, max: headerLength - 1 }),
      remove: fc.integer({ min: 0, max: 12 }),
      insert: fc.oneof(
        fc.uint8Array({ maxLength: 6 }),
        fc
          .constantFrom('"', "{", "}", "[", ",", "-", "9".repeat(17), "\\u0000", '"a":', "e9")
          .map((text) => Buffer.from(text)),
      ),
    });
    let accepted = 0;
    let refused = 0;
    fc.assert(
      fc.property(
        fc.array(mutation, { minLength: 1, maxLength: 3 }),
        fc.integer({ min: -2, max: 2 }),
        (mutations, more) => {
          let mutated: Uint8Array = header;
          for (const { at, remove, insert } of mutations) {
            mutated = Buffer.concat([mutated.subarray(0, at), insert, mutated.subarray(at + remove)]);
          }
          try {
            const parsed = parseHeader(mutated, 20 + more, "x");
            assert.equal(
              parsed.entries.reduce((sum, entry) => sum + entry.byteLength, 0),
              20 + more,
            );
            // Whatever passes must also be JSON to everyone else, and mean the same.
            const json = JSON.parse(new TextDecoder().decode(mutated)) as Record<string, { shape: number[] }>;
            for (const entry of parsed.entries) assert.deepEqual(entry.shape, json[entry.name]?.shape);
            accepted += 1;
          } catch (error) {
            if (!(error instanceof RookeryError)) throw error;
            refused += 1;
          }
        },
      ),
      { seed: 7, numRuns: 5000 },
    );
    assert.ok(accepted > 0 && refused > 0, `${accepted} accepted, ${refused} refused`);
  });

  it("notices a file that shrinks under it", () => {
    writeRaw(tensor(good), 4);
    using opened = SafetensorsFile.open(file);
    fs.truncateSync(file, fs.statSync(file).size - 1);
    assert.throws(() => opened.read("a"), { code: "FILE_DAMAGED", message: /shorter/ });
  });
});
