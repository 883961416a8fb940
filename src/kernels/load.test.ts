import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { after, test } from "node:test";
import { findCompiler } from "./build.ts";
import { levels, supportedLevels } from "./levels.ts";
import { chooseLevel, loadKernels } from "./load.ts";

const folder = mkdtempSync(join(tmpdir(), "rookery-load-"));
after(() => rmSync(folder, { recursive: true }));

/** Loads the kernels in a process of its own: they are loaded once a process. */
function loadIn(environment: NodeJS.ProcessEnv): { level?: string; code?: string; message?: string; hint?: string } {
  const script = `
    import { loadKernels } from ${JSON.stringify(join(import.meta.dirname, "load.ts"))};
    try {
      console.log(JSON.stringify({ level: loadKernels().level }));
    } catch ({ code, message, hint }) {
      console.log(JSON.stringify({ code, message, hint }));
    }`;
  const { ROOKERY_ISA: _isa, ROOKERY_KERNELS: _kernels, CC: _cc, ...rest } = process.env;
  const answer = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
    env: { ...rest, ...environment },
  });
  assert.equal(answer.status, 0, answer.stderr);
  return JSON.parse(answer.stdout);
}

test("the kernels are loaded once, of the level that was chosen", () => {
  const kernels = loadKernels();
  assert.equal(loadKernels(), kernels);
  assert.equal(kernels.level, chooseLevel());
});

test("ROOKERY_ISA forces a level", () => {
  for (const level of supportedLevels()) assert.equal(loadIn({ ROOKERY_ISA: level }).level, level);
});

test("a level that does not exist, or that the CPU lacks, is refused with those it has", () => {
  const lacking = levels.filter((level) => !supportedLevels().includes(level));
  for (const level of ["avx9", "PORTABLE", ...lacking]) {
    const error = loadIn({ ROOKERY_ISA: level });
    assert.equal(error.code, "INVALID_OPTION");
    assert.ok(error.message?.includes(`ROOKERY_ISA=${level}`), error.message);
    assert.match(error.hint ?? "", /portable/);
  }
});

test("without a compiler: NO_COMPILER in one line", () => {
  const error = loadIn({ PATH: "", XDG_CACHE_HOME: folder });
  assert.equal(error.code, "NO_COMPILER");
  assert.doesNotMatch(`${error.message}${error.hint}`, /\n/);
});

test("ROOKERY_KERNELS that is no library, absent, or no kernels: INVALID_OPTION in one line", (context) => {
  const text = join(folder, "text.so");
  writeFileSync(text, "this is no library");
  const files = [text, join(folder, "absent.so"), folder];
  const compiler = findCompiler();
  if (!compiler) context.diagnostic("no C compiler: without the libraries of others");
  const others = {
    "other.so": "int other(void) { return 1; }",
    "old.so": "int rookery_abi_version(void) { return 0; }",
  };
  for (const [name, source] of compiler ? Object.entries(others) : []) {
    const file = join(folder, name);
    const flags = ["-shared", "-fPIC", "-x", "c", "-", "-o", file];
    assert.equal(spawnSync(compiler!.command, flags, { input: source }).status, 0);
    files.push(file);
  }
  for (const file of files) {
    const error = loadIn({ ROOKERY_KERNELS: file });
    assert.equal(error.code, "INVALID_OPTION", file);
    assert.ok(error.message?.includes(file), error.message);
    assert.doesNotMatch(`${error.message}${error.hint}`, /\n/);
  }
});

test("a prebuilt library needs no compiler", (context) => {
  if (process.env.ROOKERY_KERNELS || !findCompiler()) return context.skip("nothing built here");
  const { file, level } = loadKernels();
  assert.deepEqual(loadIn({ ROOKERY_KERNELS: file, ROOKERY_ISA: level, PATH: "" }), { level });
  // a bare name is a file here, and not one of the system's libraries
  assert.deepEqual(loadIn({ ROOKERY_KERNELS: relative(process.cwd(), file), PATH: "" }), { level });
  const other = supportedLevels().find((one) => one !== level);
  if (other === undefined) return;
  const error = loadIn({ ROOKERY_KERNELS: file, ROOKERY_ISA: other });
  assert.equal(error.code, "INVALID_OPTION");
  assert.match(error.message!, new RegExp(`is of level ${level}; ROOKERY_ISA asks for ${other}`));
});
