import { spawnSync } from "node:child_process";
import { findContainment } from "../src/sandbox/containment.ts";
import { searchPath } from "../src/sandbox/namespaces.ts";

/** Why tests of contained code cannot run on this machine; false where they can. */
export const skipContained: string | false = reasonToSkip();

function reasonToSkip(): string | false {
  const containment = findContainment();
  if (containment.kind === "none") return containment.reason;
  const env = { PATH: searchPath } as NodeJS.ProcessEnv;
  return spawnSync("python3", ["--version"], { env }).status === 0 ? false : "there is no python3";
}
