import { readFileSync } from "node:fs";

/** The version in package.json, which lies at the same distance from `src/base` and from `dist/base`. */
export const rookeryVersion: string = readVersion();

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
  if (typeof manifest === "object" && manifest !== null && "version" in manifest) return String(manifest.version);
  throw new Error("package.json names no version");
}
