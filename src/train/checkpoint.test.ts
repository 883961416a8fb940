import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { recoverFolder } from "../base/files.ts";
import type { TensorToWrite } from "../formats/safetensors.ts";
import {
  brokenCheckpoints,
  type CheckpointContents,
  latestCheckpoint,
  listCheckpoints,
  openCheckpoint,
  removeCheckpointsAfter,
  saveCheckpoint,
} from "./checkpoint.ts";

let folder = "";
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-checkpoint-"));
});
afterEach(() => {
  mock.restoreAll();
  fs.rmSync(folder, { recursive: true, force: true });
});

function tensors(prefix: string, value: number): TensorToWrite[] {
  return ["a", "b"].map((name) => ({
    name: `${prefix}${name}`,
    dtype: "F32",
    shape: [2],
    bytes: new Uint8Array(8).fill(value),
  }));
}

function contents(step: number): CheckpointContents {
  return {
    step,
    weights: tensors("w.", step),
    optimizer: tensors("o.", step + 100),
    state: { step, seed: 7, data: { shard: 3, offset: 2 ** 40, fraction: 0.1 + 0.2 } },
  };
}

const steps = (): number[] => listCheckpoints(folder).map(({ step }) => step);

/** Opens the newest checkpoint and checks that all of it is of one step. */
function checkNewest(): number {
  const newest = latestCheckpoint(folder);
  assert.ok(newest);
  using opened = openCheckpoint(newest.path);
  assert.equal(opened.state.step, opened.step);
  assert.deepEqual(opened.weights.read("w.b"), new Uint8Array(8).fill(opened.step));
  assert.deepEqual(opened.optimizer.read("o.a"), new Uint8Array(8).fill(opened.step + 100));
  return opened.step;
}

describe("checkpoints", () => {
  it("give back weights, optimizer and state exactly", () => {
    const saved = saveCheckpoint(folder, contents(5), 2);
    assert.equal(saved.path, path.join(folder, "step-5"));
    using opened = openCheckpoint(saved.path);
    assert.deepEqual(opened.state, contents(5).state);
    assert.equal(checkNewest(), 5);
    assert.deepEqual(fs.readdirSync(saved.path).sort(), [
      "manifest.json",
      "optimizer.safetensors",
      "state.json",
      "weights.safetensors",
    ]);
  });

  it("keep the newest K, by step and not by name", () => {
    for (const step of [8, 9, 10, 11]) saveCheckpoint(folder, contents(step), 2);
    assert.deepEqual(steps(), [10, 11]);
    assert.deepEqual(fs.readdirSync(folder).sort(), ["step-10", "step-11"]);
    saveCheckpoint(folder, contents(12), 1);
    assert.deepEqual(steps(), [12]);
  });

  it("of an abandoned course are removed, and never outlive the one just saved", () => {
    for (const step of [1, 2, 3]) saveCheckpoint(folder, contents(step), 9);
    removeCheckpointsAfter(folder, 1);
    assert.deepEqual(steps(), [1]);
    saveCheckpoint(folder, contents(9), 9);
    saveCheckpoint(folder, contents(2), 1);
    assert.deepEqual(steps(), [2, 9]);
  });

  it("without a whole manifest do not count, but are told of", () => {
    for (const step of [1, 2]) saveCheckpoint(folder, contents(step), 9);
    fs.writeFileSync(path.join(folder, "step-2", "manifest.json"), "{");
    assert.deepEqual(steps(), [1]);
    assert.deepEqual(brokenCheckpoints(folder), [path.join(folder, "step-2")]);
  });

  it("of the same step replace each other", () => {
    saveCheckpoint(folder, contents(1), 1);
    fs.writeFileSync(path.join(folder, "step-1", "state.json"), "damaged");
    saveCheckpoint(folder, contents(1), 1);
    assert.equal(checkNewest(), 1);
    assert.deepEqual(fs.readdirSync(folder), ["step-1"]);
  });

  it("count only with a whole manifest", () => {
    saveCheckpoint(folder, contents(1), 1);
    fs.cpSync(path.join(folder, "step-1"), path.join(folder, "step-2"), { recursive: true });
    for (const [name, text] of [
      ["step-3", "{"],
      ["step-4", "{}"],
      ["step-5", '{"format":"rookery-checkpoint/1","rookeryVersion":"0","step":5,"files":{}}'],
    ] as const) {
      fs.mkdirSync(path.join(folder, name));
      fs.writeFileSync(path.join(folder, name, "manifest.json"), text);
    }
    fs.mkdirSync(path.join(folder, "step-6"));
    fs.mkdirSync(path.join(folder, "step-07"));
    fs.writeFileSync(path.join(folder, "step-8"), "");
    assert.deepEqual(steps(), [1]);
    assert.deepEqual(listCheckpoints(path.join(folder, "none")), []);
  });

  it("name a damaged file and offer the newest earlier one that is whole", () => {
    for (const step of [1, 2, 3]) saveCheckpoint(folder, contents(step), 9);
    const weights = path.join(folder, "step-3", "weights.safetensors");
    const bytes = fs.readFileSync(weights);
    bytes[bytes.length - 1]! ^= 1;
    fs.writeFileSync(weights, bytes);
    assert.throws(() => openCheckpoint(path.join(folder, "step-3")), {
      code: "FILE_DAMAGED",
      message: /step-3\/weights\.safetensors is damaged: its SHA-256/,
      hint: /step-2 is whole, and the run goes on from step 2/,
    });
    fs.truncateSync(path.join(folder, "step-2", "optimizer.safetensors"), 10);
    assert.throws(() => openCheckpoint(path.join(folder, "step-3")), { hint: /step-1 is whole/ });
    assert.throws(() => openCheckpoint(path.join(folder, "step-2")), { message: /10 bytes instead of/ });
    fs.rmSync(path.join(folder, "step-1", "state.json"));
    assert.throws(() => openCheckpoint(path.join(folder, "step-1")), {
      message: /state\.json is missing/,
      hint: /no earlier/,
    });
    assert.throws(() => openCheckpoint(path.join(folder, "step-9")), { code: "FILE_DAMAGED", hint: /no earlier/ });
  });

  it("of another version say so", () => {
    saveCheckpoint(folder, contents(1), 9);
    const manifest = path.join(folder, "step-1", "manifest.json");
    fs.writeFileSync(manifest, '{"format":"rookery-checkpoint/2","rookeryVersion":"9.9"}');
    assert.equal(latestCheckpoint(folder)?.step, 1);
    assert.throws(() => openCheckpoint(path.join(folder, "step-1")), { code: "UNKNOWN_FORMAT", hint: /9\.9/ });
  });

  it("do not reach for files outside their folder", () => {
    saveCheckpoint(folder, contents(1), 9);
    const manifest = path.join(folder, "step-1", "manifest.json");
    const value = JSON.parse(fs.readFileSync(manifest, "utf8"));
    value.files["../../secret"] = value.files["state.json"];
    fs.writeFileSync(manifest, JSON.stringify(value));
    assert.deepEqual(steps(), []);
  });

  it("refuse a state that JSON would change", () => {
    for (const value of [Number.NaN, -0, new Uint8Array(1), 1n, () => 1, new Map()]) {
      const state = { nested: [value] } as unknown as CheckpointContents["state"];
      assert.throws(
        () => saveCheckpoint(folder, { ...contents(1), state }, 1),
        /state\.nested\[0\] is .*JSON would change/,
      );
    }
    assert.deepEqual(fs.readdirSync(folder), []);
  });
});

/** Syncing matters only when the power goes; without it the tests below take a tenth of the time. */
function skipSyncing(): void {
  mock.method(fs, "fsyncSync", () => {});
}

/**
 * Lets the first `allowed` calls that change the disk through; the next one does half its work, and after it nothing works
 * any more, not even cleaning up, as if the process had been killed there. Returns how many calls were seen.
 */
function killAfter(allowed: number): () => number {
  let calls = 0;
  const original = { ...fs };
  const dying = (work: (half: boolean) => unknown): unknown => {
    calls += 1;
    if (calls > allowed + 1) throw new Error("killed");
    const result = work(calls === allowed + 1);
    if (calls === allowed + 1) throw new Error("killed");
    return result;
  };
  mock.method(fs, "writeSync", (fd: number, bytes: Uint8Array, offset: number, length: number) =>
    dying((half) => original.writeSync(fd, bytes, offset, half ? length >> 1 : length)),
  );
  mock.method(fs, "openSync", (target: string, flags: string) =>
    flags === "r" ? original.openSync(target, flags) : dying(() => original.openSync(target, flags)),
  );
  mock.method(fs, "mkdirSync", (target: string, options: object) => dying(() => original.mkdirSync(target, options)));
  mock.method(fs, "fsyncSync", (fd: number) => dying(() => fd));
  mock.method(fs, "renameSync", (from: string, to: string) => dying(() => original.renameSync(from, to)));
  mock.method(fs, "rmSync", (target: string, options: object) =>
    dying((half) => {
      if (!half) return original.rmSync(target, options);
      // Half removed: some of the files are gone.
      for (const name of original.readdirSync(target).slice(0, 2)) original.unlinkSync(path.join(target, name));
    }),
  );
  return () => calls;
}

describe("a process killed while it saves", () => {
  const cases: [what: string, step: number][] = [
    ["the next step", 2],
    ["the same step again", 1],
  ];
  for (const [what, step] of cases) {
    it(`leaves a whole checkpoint at each of its calls to the system (${what})`, () => {
      let total = Number.POSITIVE_INFINITY;
      let points = 0;
      for (let allowed = 0; allowed < total; allowed++) {
        fs.rmSync(folder, { recursive: true });
        fs.mkdirSync(folder);
        skipSyncing();
        saveCheckpoint(folder, contents(1), 1);
        const seen = killAfter(allowed);
        let finished = false;
        try {
          saveCheckpoint(folder, contents(step), 1);
          finished = true;
        } catch (error) {
          assert.match(String(error), /killed/);
        }
        mock.restoreAll();
        if (finished) total = seen();
        points += 1;
        // What `openRun` does first.
        skipSyncing();
        recoverFolder(folder);
        const newest = checkNewest();
        assert.ok(newest === 1 || newest === step);
        saveCheckpoint(folder, contents(3), 1);
        assert.deepEqual(steps(), [3]);
        assert.equal(checkNewest(), 3);
        mock.restoreAll();
      }
      assert.ok(points > 30, `${points} points`);
    });
  }
});

describe("a full disk", () => {
  it("costs the new checkpoint only, wherever it strikes, and leaves nothing half-written", () => {
    saveCheckpoint(folder, contents(1), 1);
    const { writeSync } = fs;
    let failing = 1;
    for (; ; failing++) {
      let calls = 0;
      mock.method(fs, "writeSync", (fd: number, bytes: Uint8Array, offset: number, length: number) => {
        calls += 1;
        if (calls >= failing) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC", syscall: "write" });
        return writeSync(fd, bytes, offset, length);
      });
      let failed = true;
      try {
        saveCheckpoint(folder, contents(2), 1);
        failed = false;
      } catch (error) {
        assert.equal((error as { code: string }).code, "FILE_UNWRITABLE");
        assert.match(String(error), /cannot write [^:]*\/step-2(\/[a-z.]+)?: no space/);
      }
      mock.restoreAll();
      if (!failed) break;
      assert.deepEqual(fs.readdirSync(folder), ["step-1"]);
      assert.equal(checkNewest(), 1);
    }
    assert.ok(failing > 6);
    assert.equal(checkNewest(), 2);
  });
});
