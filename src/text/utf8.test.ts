import assert from "node:assert/strict";
import { test } from "node:test";
import { splitByUtf8 } from "./utf8.ts";

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function isUtf8(bytes: Uint8Array): boolean {
  try {
    strict.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

test("a stretch is text exactly when a strict decoder takes it", () => {
  // Every lead byte with second bytes at each of the limits that the standard sets, and tails that fit, end or break.
  const seconds = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff];
  const tails = [[], [0x80], [0x80, 0xbf], [0x7f], [0x80, 0x7f], [0xc0]];
  for (let lead = 0; lead < 256; lead++) {
    for (const second of seconds) {
      for (const tail of tails) {
        const bytes = Uint8Array.from([lead, second, ...tail]);
        const runs = splitByUtf8(bytes);
        assert.equal(runs.length === 1 && "text" in runs[0]!, isUtf8(bytes), `${bytes}`);
        const together = runs.map((run) => ("text" in run ? Buffer.from(run.text) : run.bytes));
        assert.deepEqual(Buffer.concat(together), Buffer.from(bytes));
      }
    }
  }
});

test("text and other bytes take turns", () => {
  const bytes = Buffer.concat([Buffer.from("\ufeffé"), Buffer.from([0xff, 0xe6, 0xb5]), Buffer.from("海")]);
  assert.deepEqual(splitByUtf8(bytes), [{ text: "\ufeffé" }, { bytes: bytes.subarray(5, 8) }, { text: "海" }]);
  assert.deepEqual(splitByUtf8(new Uint8Array(0)), []);
});
