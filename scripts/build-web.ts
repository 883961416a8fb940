/** Bundles the pages of web/ into dist/web, so that whoever installs the package needs no esbuild. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { bundlePages } from "../src/serve/page-files.ts";

const root = join(import.meta.dirname, "..");

export async function buildWeb(): Promise<void> {
  for (const [name, bytes] of await bundlePages(join(root, "web"))) {
    const path = join(root, "dist", "web", name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, bytes);
  }
}

if (import.meta.main) await buildWeb();
