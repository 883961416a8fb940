import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

const source = join(import.meta.dirname, "..", "src");

// The type checker accepts code that Node cannot run (an import of a type without `type`, for example).
test("plain node imports every module, and an import alone does nothing", () => {
  const modules = globSync("**/*.ts", { cwd: source })
    .filter((path) => !path.endsWith(".test.ts"))
    .sort()
    .map((path) => pathToFileURL(join(source, path)).href);
  const program = `
    for (const module of ${JSON.stringify(modules)}) {
      try { await import(module); } catch (error) { console.log(module, error); }
    }`;
  const child = spawnSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" });
  assert.equal(child.stdout, "");
  assert.equal(child.stderr, "");
  assert.equal(child.status, 0);
});
