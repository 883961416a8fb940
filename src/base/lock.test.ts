import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { acquireLock } from "./lock.ts";

let folder = "";
let lockPath = "";
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-lock-"));
  lockPath = path.join(folder, "lock");
});
afterEach(() => {
  mock.restoreAll();
  fs.rmSync(folder, { recursive: true, force: true });
});

function writeLock(changes: Record<string, unknown>): void {
  const record = {
    format: "rookery-lock/1",
    pid: process.pid,
    startTime: null,
    host: os.hostname(),
    startedAt: "2026-01-01T00:00:00.000Z",
    token: "other",
    ...changes,
  };
  fs.writeFileSync(lockPath, JSON.stringify(record));
}

describe("acquireLock", () => {
  it("holds against a second taker and names its pid, until released", () => {
    const lock = acquireLock(lockPath, 'the run "a"');
    assert.throws(() => acquireLock(lockPath, 'the run "a"'), {
      code: "RUN_LOCKED",
      message: new RegExp(`the run "a" is in use by process ${process.pid}`),
    });
    lock.release();
    assert.deepEqual(fs.readdirSync(folder), []);
    {
      using _again = acquireLock(lockPath, "it");
      assert.deepEqual(fs.readdirSync(folder), ["lock"]);
    }
    assert.deepEqual(fs.readdirSync(folder), []);
  });

  it("takes over from a process that is gone", () => {
    writeLock({ pid: spawnSync(process.execPath, ["--version"]).pid });
    acquireLock(lockPath, "it").release();
    assert.deepEqual(fs.readdirSync(folder), []);
  });

  it("takes over when the pid was given to a later process", { skip: !fs.existsSync("/proc/self/stat") }, () => {
    writeLock({ startTime: "1" });
    acquireLock(lockPath, "it").release();
  });

  it("takes over what no Rookery wrote", () => {
    for (const text of ["", "null", "{", '{"format":"rookery-lock/1"}', '{"format":"rookery-lock/1","pid":-1}']) {
      fs.writeFileSync(lockPath, text);
      acquireLock(lockPath, "it").release();
    }
  });

  it("respects a lock of another machine and says how to remove it", () => {
    writeLock({ host: "elsewhere", pid: 1 });
    assert.throws(() => acquireLock(lockPath, "it"), {
      code: "RUN_LOCKED",
      message: /machine elsewhere/,
      hint: new RegExp(`remove ${lockPath}`),
    });
  });

  it("gives a rival's fresh lock back when both found the same stale one", () => {
    writeLock({ pid: spawnSync(process.execPath, ["--version"]).pid });
    const { renameSync } = fs;
    let rivalText = "";
    mock.method(fs, "renameSync", (from: string, to: string) => {
      if (rivalText === "") {
        // The rival was faster: between our reading and our renaming it took the lock over.
        writeLock({ token: "rival" });
        rivalText = fs.readFileSync(lockPath, "utf8");
      }
      renameSync(from, to);
    });
    assert.throws(() => acquireLock(lockPath, "it"), { code: "RUN_LOCKED" });
    assert.equal(fs.readFileSync(lockPath, "utf8"), rivalText);
    assert.deepEqual(fs.readdirSync(folder), ["lock"]);
  });

  it("works where hard links do not", () => {
    mock.method(fs, "linkSync", () => {
      throw Object.assign(new Error("EPERM"), { code: "EPERM", syscall: "link" });
    });
    const lock = acquireLock(lockPath, "it");
    assert.throws(() => acquireLock(lockPath, "it"), { code: "RUN_LOCKED" });
    lock.release();
    assert.deepEqual(fs.readdirSync(folder), []);
  });

  it("does not release a lock that someone else took meanwhile", () => {
    const lock = acquireLock(lockPath, "it");
    writeLock({});
    lock.release();
    assert.ok(fs.existsSync(lockPath));
  });

  it("says when the folder is missing", () => {
    assert.throws(() => acquireLock(path.join(folder, "no", "lock"), "it"), { code: "FILE_UNWRITABLE" });
  });
});
