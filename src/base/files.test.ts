import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it, mock } from "node:test";
import { RookeryError } from "./errors.ts";
import {
  commitDirectory,
  isPlainName,
  isTemporaryName,
  makeFolder,
  quoteForMessage,
  readJsonFile,
  recoverFolder,
  refuseUnwritable,
  removeStaleTemporaries,
  sha256OfFile,
  writeFileAtomic,
} from "./files.ts";

let folder = "";
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-files-"));
});
afterEach(() => {
  mock.restoreAll();
  fs.rmSync(folder, { recursive: true, force: true });
});

const inFolder = (name: string): string => path.join(folder, name);

/** A pid that belonged to a process which has ended. */
function deadPid(): number {
  return spawnSync(process.execPath, ["--version"]).pid;
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: made up`), { code, errno: -1, syscall: "write" });
}

/** The order of the calls that decide what survives a crash. */
function recordCalls(): string[] {
  const calls: string[] = [];
  const openNames = new Map<number, string>();
  const { openSync, fsyncSync, renameSync } = fs;
  mock.method(fs, "openSync", (target: string, flags: string, mode?: number) => {
    const fileDescriptor = openSync(target, flags, mode);
    openNames.set(fileDescriptor, path.relative(folder, target).replaceAll(/\.tmp-[\d-]+/g, ".tmp"));
    return fileDescriptor;
  });
  mock.method(fs, "fsyncSync", (fileDescriptor: number) => {
    calls.push(`sync ${openNames.get(fileDescriptor)}`);
    fsyncSync(fileDescriptor);
  });
  mock.method(fs, "renameSync", (from: string, to: string) => {
    calls.push(`rename to ${path.relative(folder, to).replaceAll(/\.tmp-[\d-]+/g, ".tmp")}`);
    renameSync(from, to);
  });
  return calls;
}

describe("writeFileAtomic", () => {
  it("replaces a file, syncing it before it takes its name and the folder after", () => {
    fs.writeFileSync(inFolder("a"), "old");
    const calls = recordCalls();
    writeFileAtomic(inFolder("a"), "new é");
    assert.equal(fs.readFileSync(inFolder("a"), "utf8"), "new é");
    assert.deepEqual(calls, ["sync .a.tmp", "rename to a", "sync "]);
    assert.deepEqual(fs.readdirSync(folder), ["a"]);
  });

  for (const [code, what] of [
    ["ENOSPC", /no space is left/],
    ["EACCES", /permission is denied/],
    ["EROFS", /read-only/],
    ["EXYZ", /EXYZ/],
  ] as const) {
    it(`says what ${code} means, and leaves the old file alone`, () => {
      fs.writeFileSync(inFolder("a"), "old");
      mock.method(fs, "writeSync", () => {
        throw systemError(code);
      });
      assert.throws(
        () => writeFileAtomic(inFolder("a"), "new"),
        (error: unknown) =>
          error instanceof RookeryError &&
          error.code === "FILE_UNWRITABLE" &&
          what.test(error.message) &&
          error.message.includes(inFolder("a")),
      );
      mock.restoreAll();
      assert.equal(fs.readFileSync(inFolder("a"), "utf8"), "old");
      assert.deepEqual(fs.readdirSync(folder), ["a"]);
    });
  }

  it("goes on after a write that took only a part", () => {
    const { writeSync } = fs;
    mock.method(fs, "writeSync", (fd: number, bytes: Uint8Array, offset: number, length: number) =>
      writeSync(fd, bytes, offset, Math.min(length, 3)),
    );
    writeFileAtomic(inFolder("a"), "0123456789");
    assert.equal(fs.readFileSync(inFolder("a"), "utf8"), "0123456789");
  });

  it("names a missing folder", () => {
    assert.throws(() => writeFileAtomic(inFolder("no/a"), "x"), {
      code: "FILE_UNWRITABLE",
      hint: /create the folder/,
    });
  });
});

describe("refuseUnwritable", () => {
  it("says before the work what writing would say after it, and touches nothing", () => {
    fs.mkdirSync(inFolder("d"));
    fs.writeFileSync(inFolder("file"), "");
    refuseUnwritable([inFolder("a"), inFolder("file")]);
    const refuses = (name: string, message: RegExp) =>
      assert.throws(() => refuseUnwritable([inFolder(name)]), { code: "FILE_UNWRITABLE", message });
    refuses("no/a", /its folder does not exist/);
    refuses("file/a", /is a file, not a folder/);
    refuses("d", /it is a folder/);
    assert.deepEqual(fs.readdirSync(folder).sort(), ["d", "file"]);
  });
});

describe("commitDirectory", () => {
  it("syncs every file and folder before the name, and the parent after", () => {
    const calls = recordCalls();
    commitDirectory(inFolder("d"), (temporary) => {
      fs.mkdirSync(path.join(temporary, "sub"));
      fs.writeFileSync(path.join(temporary, "sub", "x"), "1");
    });
    assert.deepEqual(calls, ["sync .d.tmp/sub/x", "sync .d.tmp/sub", "sync .d.tmp", "rename to d", "sync "]);
    assert.equal(fs.readFileSync(inFolder("d/sub/x"), "utf8"), "1");
  });

  it("leaves nothing when the writer throws, and keeps the error", () => {
    const own = new Error("own fault");
    assert.throws(
      () =>
        commitDirectory(inFolder("d"), (temporary) => {
          fs.writeFileSync(path.join(temporary, "x"), "1");
          throw own;
        }),
      (error) => error === own,
    );
    assert.deepEqual(fs.readdirSync(folder), []);
  });

  it("refuses an existing folder, and replaces it when told", () => {
    commitDirectory(inFolder("d"), (temporary) => fs.writeFileSync(path.join(temporary, "old"), ""));
    assert.throws(() => commitDirectory(inFolder("d"), () => {}), { code: "FILE_UNWRITABLE" });
    commitDirectory(inFolder("d"), (temporary) => fs.writeFileSync(path.join(temporary, "new"), ""), { replace: true });
    assert.deepEqual(fs.readdirSync(inFolder("d")), ["new"]);
    assert.deepEqual(fs.readdirSync(folder), ["d"]);
  });

  it("loses no folder at any point of a replacement", () => {
    const { renameSync } = fs;
    commitDirectory(inFolder("d"), (temporary) => fs.writeFileSync(path.join(temporary, "x"), "0"));
    for (let failing = 1; failing <= 3; failing++) {
      let count = 0;
      // From the failing call on nothing works any more, as after a kill: not even the clean-up.
      mock.method(fs, "renameSync", (from: string, to: string) => {
        count += 1;
        if (count >= failing) throw systemError("EIO");
        renameSync(from, to);
      });
      const replace = (): void =>
        commitDirectory(inFolder("d"), (temporary) => fs.writeFileSync(path.join(temporary, "x"), `${failing}`), {
          replace: true,
        });
      assert.throws(replace, { code: "FILE_UNWRITABLE" });
      mock.restoreAll();
      recoverFolder(folder);
      assert.ok(!fs.readdirSync(folder).some((name) => name.endsWith(".replaced")));
      assert.equal(fs.readFileSync(inFolder("d/x"), "utf8"), failing === 3 ? "3" : "0");
    }
  });

  it("removes what dead processes left half-written, and nothing of the living", () => {
    const stale = `.d.tmp-${deadPid()}-0-1-1`;
    const recycledPid = `.d.tmp-${process.pid}-1-1-1`;
    const live = `.d.tmp-${process.pid}-0-1-1`;
    for (const name of [stale, recycledPid, live, ".d.tmp-other", ".keep"]) fs.mkdirSync(inFolder(name));
    fs.writeFileSync(path.join(inFolder(stale), "part"), "1");
    commitDirectory(inFolder("d"), () => {});
    const left = fs.readdirSync(folder);
    assert.ok(!left.includes(stale));
    assert.ok(left.includes(live) && left.includes(".keep") && left.includes(".d.tmp-other"));
    if (fs.existsSync("/proc/self/stat")) assert.ok(!left.includes(recycledPid));
    removeStaleTemporaries(folder);
    assert.ok(isTemporaryName(live) && !isTemporaryName(".keep"));
  });
});

describe("reading", () => {
  it("hashes what other tools hash", () => {
    const bytes = Buffer.alloc(9 * 1024 * 1024, "rookery");
    fs.writeFileSync(inFolder("a"), bytes);
    assert.equal(sha256OfFile(inFolder("a")), createHash("sha256").update(bytes).digest("hex"));
    fs.writeFileSync(inFolder("empty"), "");
    assert.equal(sha256OfFile(inFolder("empty")), createHash("sha256").digest("hex"));
  });

  it("names the file that is missing, broken, too large, or no file", () => {
    fs.writeFileSync(inFolder("bad"), "{");
    fs.writeFileSync(inFolder("latin"), Buffer.from([0x22, 0xe9, 0x22]));
    assert.throws(() => readJsonFile(inFolder("none")), { code: "FILE_UNREADABLE", message: /does not exist/ });
    assert.throws(() => readJsonFile(inFolder("bad")), { code: "FILE_DAMAGED", message: /no valid JSON/ });
    assert.throws(() => readJsonFile(inFolder("latin")), { code: "FILE_DAMAGED", message: /UTF-8/ });
    assert.throws(() => readJsonFile(inFolder("bad"), 0), { code: "FILE_DAMAGED", message: /at most 0/ });
    assert.throws(() => readJsonFile(folder), { code: "FILE_UNREADABLE", message: /regular/ });
  });
});

describe("names", () => {
  it("takes plain names only", () => {
    for (const name of ["a", "run-1", "A_b.c", "0"]) assert.ok(isPlainName(name), name);
    for (const name of ["", ".", "..", ".a", "a/b", "a\\b", "a.", "-a", "a b", "é", "a\0", "a\n", "x".repeat(101)]) {
      assert.ok(!isPlainName(name), JSON.stringify(name));
    }
  });

  it("shows hostile names harmlessly", () => {
    assert.equal(quoteForMessage("a\u001b[31m\n"), '"a\\u001b[31m\\n"');
    assert.equal(quoteForMessage("\u202eabc"), '"\\u202eabc"');
    assert.equal(quoteForMessage("x".repeat(200), 3), '"xxx…"');
  });
});

describe("makeFolder", () => {
  it("makes all levels, and is content with what is there", () => {
    makeFolder(inFolder("a/b/c"));
    makeFolder(inFolder("a/b/c"));
    assert.ok(fs.statSync(inFolder("a/b/c")).isDirectory());
  });

  it("refuses in one line where a file stands, and where nothing can be made", () => {
    fs.writeFileSync(inFolder("file"), "");
    assert.throws(() => makeFolder(inFolder("file")), { code: "FILE_UNWRITABLE" });
    assert.throws(() => makeFolder(inFolder("file/below")), { code: "FILE_UNWRITABLE" });
    if (process.platform === "linux")
      assert.throws(() => makeFolder("/proc/rookery/below"), { code: "FILE_UNWRITABLE" });
  });
});
