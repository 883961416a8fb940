import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type TensorToWrite, writeSafetensors } from "./safetensors.ts";
import { openShardedSafetensors, writeShardedSafetensors } from "./safetensors-shards.ts";

let folder = "";
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-shards-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const tensor = (name: string, size: number): TensorToWrite => ({
  name,
  dtype: "U8",
  shape: [size],
  bytes: new Uint8Array(size).fill(name.charCodeAt(0)),
});
const indexPath = (): string => path.join(folder, "model.safetensors.index.json");

function writeIndex(weightMap: unknown): void {
  fs.writeFileSync(indexPath(), JSON.stringify({ metadata: {}, weight_map: weightMap }));
}

describe("writeShardedSafetensors", () => {
  it("writes one file where one is enough", () => {
    const written = writeShardedSafetensors(folder, "model", [tensor("a", 6), tensor("b", 4)], { maxShardBytes: 10 });
    assert.deepEqual([...written.keys()], ["model.safetensors"]);
    assert.deepEqual(fs.readdirSync(folder), ["model.safetensors"]);
  });

  it("writes a file even for no tensors", () => {
    writeShardedSafetensors(folder, "model", [], { maxShardBytes: 10 });
    assert.deepEqual(fs.readdirSync(folder), ["model.safetensors"]);
  });

  it("splits over the limit without cutting a tensor, and is read back through its index", () => {
    const sizes = { a: 6, b: 4, c: 1, d: 25, e: 3 };
    const tensors = Object.entries(sizes).map(([name, size]) => tensor(name, size));
    writeShardedSafetensors(folder, "model", tensors, { maxShardBytes: 10, metadata: { format: "pt" } });
    const index = JSON.parse(fs.readFileSync(indexPath(), "utf8"));
    assert.equal(index.metadata.total_size, 39);
    assert.deepEqual(index.weight_map, {
      a: "model-00001-of-00004.safetensors",
      b: "model-00001-of-00004.safetensors",
      c: "model-00002-of-00004.safetensors",
      d: "model-00003-of-00004.safetensors",
      e: "model-00004-of-00004.safetensors",
    });
    using source = openShardedSafetensors(indexPath());
    for (const { name, bytes } of tensors) {
      assert.deepEqual(source.read(name), bytes);
      assert.deepEqual(
        [...source.chunks(name, 100)].flatMap((piece) => [...piece]),
        [...(bytes as Uint8Array)],
      );
      const first = new Uint8Array(1);
      source.readInto(name, first);
      assert.equal(first[0], name.charCodeAt(0));
    }
    assert.throws(() => source.read("z"), { code: "FILE_DAMAGED", message: /no tensor "z"/ });
    source.close();
    assert.throws(() => source.read("a"), { code: "DISPOSED" });
  });
});

describe("openShardedSafetensors", () => {
  it("refuses file names that leave the folder", () => {
    for (const name of [
      "../x.safetensors",
      "/x.safetensors",
      "a/b.safetensors",
      "..",
      "x.bin",
      "",
      1,
      null,
      ["x.safetensors"],
    ]) {
      writeIndex({ a: name });
      assert.throws(() => openShardedSafetensors(indexPath()), { code: "FILE_DAMAGED", message: /plain name/ });
    }
  });

  it("refuses an index without a map", () => {
    for (const text of ["null", "[]", "{}", '{"weight_map":[]}', '{"weight_map":1}', "{"]) {
      fs.writeFileSync(indexPath(), text);
      assert.throws(() => openShardedSafetensors(indexPath()), { code: "FILE_DAMAGED" }, text);
    }
  });

  it("names the shard that is missing, and the tensor that is not where the index says", () => {
    writeSafetensors(path.join(folder, "x.safetensors"), [tensor("a", 1), tensor("b", 1)]);
    writeIndex({ a: "y.safetensors" });
    assert.throws(() => openShardedSafetensors(indexPath()), { code: "FILE_UNREADABLE", message: /y\.safetensors/ });
    writeIndex({ a: "x.safetensors", b: "x.safetensors", c: "x.safetensors" });
    assert.throws(() => openShardedSafetensors(indexPath()), { code: "FILE_DAMAGED", message: /no tensor "c"/ });
    writeIndex({ a: "x.safetensors" });
    assert.throws(() => openShardedSafetensors(indexPath()), {
      code: "FILE_DAMAGED",
      message: /tensor "b" is not listed/,
    });
  });

  it("keeps a tensor called __proto__ a tensor", () => {
    writeSafetensors(path.join(folder, "x.safetensors"), [tensor("__proto__", 2)]);
    fs.writeFileSync(indexPath(), '{"weight_map":{"__proto__":"x.safetensors"}}');
    using source = openShardedSafetensors(indexPath());
    assert.equal(source.read("__proto__").byteLength, 2);
  });
});
