import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findCompiler } from "./build.ts";
import { compilerFlags, supportedLevels } from "./levels.ts";

type Measured = Record<"exp" | "log" | "sigmoid" | "sqrt", { ulps: number; at: number }> & {
  wrong: Record<string, number>;
  special: boolean;
};

const compiler = findCompiler();
const source = join(import.meta.dirname, "../../test/twins/vector.c");

for (const level of supportedLevels()) {
  test(`exp, log, sigmoid, square root and bf16 rounding of the ${level} level, over all magnitudes`, (context) => {
    if (!compiler) return context.skip("no C compiler");
    const folder = mkdtempSync(join(tmpdir(), "rookery-vector-"));
    try {
      const program = join(folder, "vector");
      const flags = compilerFlags(level).filter((flag) => flag !== "-shared");
      const built = spawnSync(
        compiler.command,
        [...flags, "-Wall", "-Wextra", "-Werror", `-I${import.meta.dirname}`, source, "-lm", "-o", program],
        { encoding: "utf8" },
      );
      assert.equal(built.status, 0, built.stderr);
      const run = spawnSync(program, ["1009"], { encoding: "utf8" });
      assert.equal(run.status, 0, run.stderr);
      const measured = JSON.parse(run.stdout) as Measured;
      assert.ok(measured.special, "infinities, NaN, zero and reductions");
      assert.deepEqual(measured.wrong, { exp: 0, log: 0, narrow: 0, widen: 0 });
      for (const [name, limit] of Object.entries({ exp: 1.5, log: 3, sigmoid: 2.5, sqrt: 0.5 })) {
        const { ulps, at } = measured[name as "exp"];
        assert.ok(ulps <= limit, `${name}(${at}) is ${ulps} units of the last place off`);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
