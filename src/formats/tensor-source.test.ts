import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type TensorInfo, TensorSource } from "./safetensors.ts";
import { readAhead } from "./tensor-source.ts";

/** Answers reads in an order of its own, and counts how many are open. */
class SlowSource extends TensorSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  open = 0;
  mostOpen = 0;
  failsAt = Number.POSITIVE_INFINITY;
  #reads = 0;

  constructor(sizes: Record<string, number>) {
    super();
    this.tensors = new Map(
      Object.entries(sizes).map(([name, byteLength]) => [name, { name, dtype: "U8", shape: [byteLength], byteLength }]),
    );
  }

  readInto(name: string, destination: Uint8Array, byteOffset = 0): void {
    for (let i = 0; i < destination.length; i++) destination[i] = name.charCodeAt(0) + byteOffset + i;
  }

  async readIntoAsync(name: string, destination: Uint8Array, byteOffset = 0): Promise<void> {
    const read = ++this.#reads;
    this.mostOpen = Math.max(this.mostOpen, ++this.open);
    for (let turns = (read * 7) % 5; turns > 0; turns--) await Promise.resolve();
    this.open--;
    if (read >= this.failsAt) throw new Error(`read ${read}`);
    this.readInto(name, destination, byteOffset);
  }

  close(): void {
    assert.equal(this.open, 0, "closed while reads were under way");
  }
}

describe("readAhead", () => {
  const sizes = { a: 25, b: 0, c: 7, d: 10, e: 1 };

  it("gives every byte in order, some reads at a time", async () => {
    using source = new SlowSource(sizes);
    const seen: string[] = [];
    for await (const { name, byteOffset, bytes } of readAhead(source, ["c", "a", "b", "e"], { chunkBytes: 10 })) {
      seen.push(`${name}${byteOffset}:${bytes.length}`);
      bytes.forEach((byte, at) => {
        assert.equal(byte, name.charCodeAt(0) + byteOffset + at);
      });
    }
    assert.deepEqual(seen, ["c0:7", "a0:10", "a10:10", "a20:5", "e0:1"]);
    assert.ok(source.mostOpen > 1 && source.mostOpen <= 4, `${source.mostOpen} at a time`);
  });

  it("leaves no read behind when one fails or its reader stops", async () => {
    for (const failsAt of [1, 2, 4]) {
      using source = new SlowSource(sizes);
      source.failsAt = failsAt;
      await assert.rejects(
        async () => {
          for await (const _ of readAhead(source, ["a", "c", "d"], { chunkBytes: 5 }));
        },
        new RegExp(`read ${failsAt}`),
      );
    }
    using source = new SlowSource(sizes);
    for await (const { byteOffset } of readAhead(source, ["a"], { chunkBytes: 2 })) if (byteOffset > 3) break;
    await assert.rejects(
      async () => {
        for await (const _ of readAhead(source, ["z"]));
      },
      { code: "FILE_DAMAGED" },
    );
  });
});
