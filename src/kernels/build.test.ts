import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, test } from "node:test";
import { RookeryError } from "../base/errors.ts";
import { cachedLibrary, findCompiler, kernelCacheFolder, libraryKey } from "./build.ts";
import { compilerFlags, supportedLevels } from "./levels.ts";

const compiler = findCompiler();
const root = mkdtempSync(join(tmpdir(), "rookery-build-"));
const saved = { XDG_CACHE_HOME: process.env.XDG_CACHE_HOME, CC: process.env.CC, PATH: process.env.PATH };
let cache: string;

beforeEach(() => {
  cache = mkdtempSync(join(root, "cache-"));
  process.env.XDG_CACHE_HOME = cache;
});
afterEach(() => {
  for (const [name, value] of Object.entries(saved)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});
after(() => rmSync(root, { recursive: true }));

/** A compiler that answers to --version and otherwise does what `script` says. */
function fakeCompiler(version: string, script: string): string {
  const file = join(mkdtempSync(join(root, "cc-")), "cc");
  writeFileSync(file, `#!/bin/sh\nif [ "$1" = --version ]; then echo '${version}'; exit 0; fi\n${script}\n`, {
    mode: 0o700,
  });
  return file;
}

const writesOutput = 'for last; do :; done; echo "$@" > "$last"';

test("the cache folder is made, private, and made private again", () => {
  const folder = kernelCacheFolder();
  assert.ok(folder.startsWith(cache));
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  chmodSync(folder, 0o755);
  kernelCacheFolder();
  assert.equal(statSync(folder).mode & 0o777, 0o700);
});

test("a cache folder that is somebody else's is refused", (context) => {
  if (!process.getuid) return context.skip("no owners here");
  const own = process.getuid();
  context.mock.method(process as { getuid: () => number }, "getuid", () => own + 1);
  assert.throws(kernelCacheFolder, { code: "FILE_UNWRITABLE", message: /belongs to another user/ });
});

test("a link in place of the cache folder is refused: what it points at may be somebody else's", () => {
  const target = mkdtempSync(join(root, "target-"));
  mkdirSync(join(cache, "rookery"));
  symlinkSync(target, join(cache, "rookery", "kernels"));
  assert.throws(kernelCacheFolder, { code: "FILE_UNWRITABLE" });
});

test("a cache folder that cannot be made is one line with a mend", () => {
  const file = join(cache, "file");
  writeFileSync(file, "");
  process.env.XDG_CACHE_HOME = file;
  assert.throws(kernelCacheFolder, (error) => {
    assert.ok(error instanceof RookeryError);
    assert.equal(error.code, "FILE_UNWRITABLE");
    assert.doesNotMatch(error.message, /\n/);
    assert.match(error.hint, /XDG_CACHE_HOME/);
    return true;
  });
});

test("a library is built once, and found afterwards", () => {
  process.env.CC = fakeCompiler("fake 1", writesOutput);
  const file = cachedLibrary("portable");
  const built = statSync(file).mtimeMs;
  assert.deepEqual(readdirSync(kernelCacheFolder()).length, 1, "no temporary file stays");
  process.env.CC = fakeCompiler("fake 1", "exit 1");
  assert.equal(cachedLibrary("portable"), file);
  assert.equal(statSync(file).mtimeMs, built);
});

test("the key follows the sources, the flags and the compiler", () => {
  const sources = [Buffer.from("a"), Buffer.from("b")];
  const key = libraryKey(sources, "gcc 12", ["-O3"]);
  assert.equal(libraryKey(sources, "gcc 12", ["-O3"]), key);
  assert.notEqual(libraryKey([Buffer.from("a"), Buffer.from("c")], "gcc 12", ["-O3"]), key);
  assert.notEqual(libraryKey([Buffer.from("ab"), Buffer.from("")], "gcc 12", ["-O3"]), key);
  assert.notEqual(libraryKey(sources, "gcc 13", ["-O3"]), key);
  assert.notEqual(libraryKey(sources, "gcc 12", ["-O2"]), key);
});

test("a level or a compiler of another version gets a library of its own", () => {
  process.env.CC = fakeCompiler("fake 1", writesOutput);
  const files = new Set([cachedLibrary("portable"), cachedLibrary("amx")]);
  process.env.CC = fakeCompiler("fake 2", writesOutput);
  files.add(cachedLibrary("portable"));
  assert.equal(files.size, 3);
});

test("a compiler that refuses the sources is named, and leaves nothing behind", () => {
  process.env.CC = fakeCompiler("fake 1", 'for last; do :; done; echo partial > "$last"; echo "bad thing" >&2; exit 1');
  assert.throws(() => cachedLibrary("portable"), { code: "KERNEL_FAILED", message: /fake 1[\s\S]*bad thing/ });
  assert.deepEqual(readdirSync(kernelCacheFolder()), []);
});

test("without a compiler: NO_COMPILER, one line, and how to get one", () => {
  delete process.env.CC;
  process.env.PATH = "";
  assert.equal(findCompiler(), undefined);
  assert.throws(
    () => cachedLibrary("portable"),
    (error) => {
      assert.ok(error instanceof RookeryError);
      assert.equal(error.code, "NO_COMPILER");
      assert.doesNotMatch(error.message + error.hint, /\n/);
      assert.match(error.hint, /apt install gcc/);
      return true;
    },
  );
});

test("a CC that does not run is blamed by name", () => {
  process.env.CC = join(root, "absent-cc");
  assert.throws(() => cachedLibrary("portable"), { code: "NO_COMPILER", message: /CC=.*absent-cc/ });
});

for (const level of supportedLevels()) {
  test(`the sources of the ${level} level compile without a warning`, (context) => {
    if (!compiler) return context.skip("no C compiler");
    const sources = readdirSync(import.meta.dirname).filter((name) => name.endsWith(".c"));
    assert.ok(sources.length > 0);
    const flags = [...compilerFlags(level), "-fsyntax-only", "-Wall", "-Wextra", "-Werror"];
    const answer = spawnSync(compiler.command, [...flags, ...sources], { cwd: import.meta.dirname, encoding: "utf8" });
    assert.equal(answer.status, 0, answer.stderr);
  });
}
