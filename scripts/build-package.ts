/** Makes dist/, what the published package runs: the compiled sources, beside them the C sources of the kernels, the pages, and the texts. */
import { spawnSync } from "node:child_process";
import { cpSync, globSync, rmSync } from "node:fs";
import { join } from "node:path";
import { buildTexts } from "./build-texts.ts";
import { buildWeb } from "./build-web.ts";

const root = join(import.meta.dirname, "..");
const dist = join(root, "dist");

rmSync(dist, { recursive: true, force: true });
const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
const built = spawnSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json")], { stdio: "inherit" });
if (built.status !== 0) process.exit(1);

// Sources that are not TypeScript keep their place: `dist/kernels/gemm.c` lies beside `dist/kernels/load.js`,
// so that code finds them relative to itself in a clone and in a package alike.
for (const file of globSync("**/*.{c,h,json,jinja,yaml}", { cwd: join(root, "src") })) {
  cpSync(join(root, "src", file), join(dist, file));
}

await buildWeb();
buildTexts();
