/** Runs the tests of kernels, tensors and model at every level that this CPU has besides the one that `node --test` takes by itself. */
import { spawnSync } from "node:child_process";
import { supportedLevels } from "../src/kernels/levels.ts";

const tests = [
  "src/kernels/bindings/*.test.ts",
  "src/tensor/**/*.test.ts",
  "src/model/*.test.ts",
  "test/oracle/training.test.ts",
];

for (const level of supportedLevels().slice(0, -1)) {
  process.stdout.write(`== level ${level}\n`);
  const env = { ...process.env, ROOKERY_ISA: level };
  const { status } = spawnSync(process.execPath, ["--test", ...tests], { stdio: "inherit", env });
  if (status !== 0) process.exit(status ?? 1);
}
