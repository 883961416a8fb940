import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import fc from "fast-check";
import { sha256OfFile } from "../base/files.ts";
import {
  dtypeBytes,
  type SafetensorsDtype,
  SafetensorsFile,
  type TensorToWrite,
  writeSafetensors,
} from "./safetensors.ts";

let folder = "";
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-safetensors-"));
});
afterEach(() => {
  mock.restoreAll();
  fs.rmSync(folder, { recursive: true, force: true });
});

const inFolder = (name: string): string => path.join(folder, name);

const dtypes = Object.keys(dtypeBytes) as SafetensorsDtype[];

const tensorArbitrary = fc
  .record({
    name: fc.oneof(
      fc.string({ unit: "grapheme" }),
      fc.constantFrom("__proto__", "constructor", "model.norm.weight", ""),
    ),
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
    seed: fc.integer({ min: 0, max: 255 }),
  })
  .filter(({ name }) => name !== "__metadata__" && name.isWellFormed())
  .map(({ name, dtype, shape, seed }) => {
    const byteLength = shape.reduce((product, size) => product * size, 1) * dtypeBytes[dtype];
    return {
      name,
      dtype,
      shape,
      bytes: Uint8Array.from({ length: byteLength }, (_, index) => (seed + index * 7) & 255),
    };
  });

describe("writeSafetensors and SafetensorsFile", () => {
  it("give back every tensor and all metadata", () => {
    const file = inFolder("round-trip.safetensors");
    fc.assert(
      fc.property(
        fc.uniqueArray(tensorArbitrary, { selector: ({ name }) => name, maxLength: 8 }),
        fc.dictionary(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" })),
        fc.integer({ min: 1, max: 64 }),
        (tensors, metadata, pieceBytes) => {
          const inPieces = tensors.map(({ bytes, ...rest }) => ({ ...rest, bytes: piecesOf(bytes, pieceBytes) }));
          const written = writeSafetensors(file, inPieces, metadata);
          assert.equal(written.sha256, sha256OfFile(file));
          assert.equal(written.byteLength, fs.statSync(file).size);
          using opened = SafetensorsFile.open(file);
          assert.deepEqual({ ...opened.metadata }, { ...metadata });
          assert.equal(opened.tensors.size, tensors.length);
          for (const { name, dtype, shape, bytes } of tensors) {
            const entry = opened.tensors.get(name);
            assert.ok(entry);
            assert.deepEqual([entry.dtype, entry.shape, entry.byteLength], [dtype, shape, bytes.byteLength]);
            assert.equal(entry.begin % dtypeBytes[dtype], 0, "every tensor is aligned to its element");
            assert.deepEqual(opened.read(name), bytes);
            const pieces: number[] = [];
            for (const piece of opened.chunks(name, pieceBytes)) pieces.push(...piece);
            assert.deepEqual(pieces, [...bytes]);
          }
        },
      ),
      { seed: 1, numRuns: 60 },
    );
  });

  it("read a part of a tensor, and nothing outside it", () => {
    const file = inFolder("part.safetensors");
    writeSafetensors(file, [
      { name: "a", dtype: "U8", shape: [4], bytes: Uint8Array.of(1, 2, 3, 4) },
      { name: "b", dtype: "U8", shape: [4], bytes: Uint8Array.of(5, 6, 7, 8) },
    ]);
    using opened = SafetensorsFile.open(file);
    const two = new Uint8Array(2);
    opened.readInto("b", two, 1);
    assert.deepEqual([...two], [6, 7]);
    for (const offset of [3, -1, 0.5, Number.NaN]) assert.throws(() => opened.readInto("a", two, offset), RangeError);
    assert.throws(() => opened.read("c"), { code: "FILE_DAMAGED", message: /no tensor "c"/ });
    opened.close();
    assert.throws(() => opened.read("a"), { code: "DISPOSED" });
  });

  it("ask for a tensor's bytes only when it is its turn, and let pieces be reused", () => {
    const asked: string[] = [];
    const lazy = (name: string): TensorToWrite => ({
      name,
      dtype: "U8",
      shape: [4],
      bytes: {
        *[Symbol.iterator]() {
          const piece = new Uint8Array(2);
          for (let turn = 0; turn < 2; turn++) {
            asked.push(name);
            yield piece.fill(turn);
          }
        },
      },
    });
    writeSafetensors(inFolder("lazy"), [lazy("x"), lazy("y")]);
    assert.deepEqual(asked, ["x", "x", "y", "y"]);
    using opened = SafetensorsFile.open(inFolder("lazy"));
    assert.deepEqual([...opened.read("y")], [0, 0, 1, 1]);
  });

  it("write the same bytes for the same tensors", () => {
    const tensors: TensorToWrite[] = [
      { name: "odd", dtype: "U8", shape: [3], bytes: new Uint8Array(3) },
      { name: "wide", dtype: "F32", shape: [1], bytes: new Uint8Array(4) },
    ];
    const { sha256 } = writeSafetensors(inFolder("x"), tensors, { format: "pt" });
    const header =
      '{"__metadata__":{"format":"pt"},"wide":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
      '"odd":{"dtype":"U8","shape":[3],"data_offsets":[4,7]}}';
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
    const expected = Buffer.concat([
      Buffer.from([padded.length, 0, 0, 0, 0, 0, 0, 0]),
      Buffer.from(padded),
      Buffer.alloc(7),
    ]);
    assert.equal(sha256, createHash("sha256").update(expected).digest("hex"));
  });

  it("refuse what does not fit together, and leave no file", () => {
    const one = Uint8Array.of(1);
    const cases: [string, TensorToWrite[]][] = [
      ["too few", [{ name: "a", dtype: "U8", shape: [2], bytes: one }]],
      ["too many", [{ name: "a", dtype: "U8", shape: [0], bytes: one }]],
      ["endless", [{ name: "a", dtype: "U8", shape: [2], bytes: endless() }]],
      ["twice", [0, 1].map(() => ({ name: "a", dtype: "U8", shape: [1], bytes: one }))],
      ["reserved", [{ name: "__metadata__", dtype: "U8", shape: [1], bytes: one }]],
      ["lone surrogate", [{ name: "\ud800", dtype: "U8", shape: [1], bytes: one }]],
      ["negative", [{ name: "a", dtype: "U8", shape: [-1], bytes: one }]],
      ["overflow", [{ name: "a", dtype: "F64", shape: [2 ** 30, 2 ** 30], bytes: one }]],
      ["type", [{ name: "a", dtype: "F4" as SafetensorsDtype, shape: [1], bytes: one }]],
    ];
    for (const [label, tensors] of cases) {
      assert.throws(() => writeSafetensors(inFolder("x"), tensors), { code: "INVALID_OPTION" }, label);
    }
    assert.deepEqual(fs.readdirSync(folder), []);
  });

  it("leave the old file when the disk is full", () => {
    const file = inFolder("x");
    writeSafetensors(file, [{ name: "a", dtype: "U8", shape: [1], bytes: Uint8Array.of(1) }]);
    let calls = 0;
    const { writeSync } = fs;
    mock.method(fs, "writeSync", (fd: number, bytes: Uint8Array, offset: number, length: number) => {
      calls += 1;
      if (calls > 1) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC", syscall: "write" });
      return writeSync(fd, bytes, offset, length);
    });
    assert.throws(() => writeSafetensors(file, [{ name: "a", dtype: "U8", shape: [1], bytes: Uint8Array.of(2) }]), {
      code: "FILE_UNWRITABLE",
    });
    mock.restoreAll();
    assert.deepEqual(fs.readdirSync(folder), ["x"]);
    using opened = SafetensorsFile.open(file);
    assert.deepEqual([...opened.read("a")], [1]);
  });

  it("pass 4 GiB: offsets, sizes and reads beyond 32 bits", () => {
    const file = inFolder("large.safetensors");
    const before = 5 * 2 ** 30;
    const header = Buffer.from(
      `{"a":{"dtype":"U8","shape":[${before}],"data_offsets":[0,${before}]},` +
        `"b":{"dtype":"U8","shape":[2],"data_offsets":[${before},${before + 2}]}}`,
    );
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(header.length));
    fs.writeFileSync(file, Buffer.concat([prefix, header]));
    // A sparse file: it takes no room on the disk.
    const fileDescriptor = fs.openSync(file, "r+");
    fs.writeSync(fileDescriptor, Uint8Array.of(8, 9), 0, 2, 8 + header.length + before);
    fs.closeSync(fileDescriptor);
    using opened = SafetensorsFile.open(file);
    assert.deepEqual([...opened.read("b")], [8, 9]);
    const last = new Uint8Array(3).fill(1);
    opened.readInto("a", last, before - 3);
    assert.deepEqual([...last], [0, 0, 0]);
    assert.throws(() => opened.readInto("a", last, before - 2), RangeError);
  });
});

describe("a file of the Python package", () => {
  const fixtures = path.join(import.meta.dirname, "../../test/oracle/safetensors");
  const file = path.join(fixtures, "every-type.safetensors");

  it("is the one its provenance describes", () => {
    const provenance = JSON.parse(fs.readFileSync(path.join(fixtures, "provenance.json"), "utf8"));
    assert.equal(sha256OfFile(file), provenance.files["every-type.safetensors"].sha256);
  });

  it("is read with every type, shape, name and metadata", () => {
    using opened = SafetensorsFile.open(file);
    assert.deepEqual({ ...opened.metadata }, { format: "pt", note: "line one\nline two" });
    const hexOf: Record<string, string> = {
      "layer.f64": "0000000000000000000000000000f03f0000000000000040000000000000084000000000000059400000000000001440",
      "layer.f32": "000000000000803f00000040000040400000c8420000a040",
      "layer.f16": "0000003c0040004240560045",
      "layer.bf16": "0000803f00404040c842a040",
      "layer.f8_e4m3": "003840446c4a",
      "layer.f8_e5m2": "003c40425645",
      "layer.i8": "000102036405",
      "layer.u8": "000102036405",
      "layer.bool": "000101010101",
      "layer.u16": "000001000200030064000500",
      "layer.i16": "000001000200030064000500",
      "layer.u32": "000000000100000002000000030000006400000005000000",
      "layer.i32": "000000000100000002000000030000006400000005000000",
      "layer.i64": [0, 1, 2, 3, 100, 5].map((value) => value.toString(16).padStart(2, "0").padEnd(16, "0")).join(""),
      "layer.u64": [0, 1, 2, 3, 100, 5].map((value) => value.toString(16).padStart(2, "0").padEnd(16, "0")).join(""),
      scalar: "0000c03f",
      empty: "",
      'an "odd" name 混元 🐧': "07",
    };
    assert.deepEqual([...opened.tensors.keys()].sort(), Object.keys(hexOf).sort());
    for (const [name, hex] of Object.entries(hexOf)) {
      assert.equal(Buffer.from(opened.read(name)).toString("hex"), hex, name);
    }
    assert.deepEqual(opened.tensors.get("layer.f8_e4m3")?.dtype, "F8_E4M3");
    assert.deepEqual(opened.tensors.get("layer.bf16")?.shape, [2, 3]);
    assert.deepEqual(opened.tensors.get("scalar")?.shape, []);
    assert.deepEqual(opened.tensors.get("empty")?.shape, [0, 4]);
  });
});

function piecesOf(bytes: Uint8Array, pieceBytes: number): Iterable<Uint8Array> {
  return {
    *[Symbol.iterator]() {
      for (let offset = 0; offset < bytes.byteLength; offset += pieceBytes)
        yield bytes.subarray(offset, offset + pieceBytes);
    },
  };
}

function* endless(): Generator<Uint8Array> {
  for (;;) yield Uint8Array.of(1);
}
