#!/usr/bin/env node
// Plain JavaScript that old versions of Node can parse: it is what tells them that they are too old.
import { existsSync } from "node:fs";

const oldestMajor = 24;
const source = new URL("../src/cli/main.ts", import.meta.url);
const isClone = existsSync(source);

if (Number.parseInt(process.versions.node, 10) < oldestMajor) {
  const mend = isClone
    ? "run `npm ci` once, then `npx rookery` or `npm start`, which use the Node that it installs"
    : `install Node ${oldestMajor} or newer from https://nodejs.org`;
  process.stderr.write(`rookery: needs Node ${oldestMajor} or newer, found ${process.versions.node}; ${mend}\n`);
  process.exitCode = 2;
} else {
  import(isClone ? source.href : new URL("../dist/cli/main.js", import.meta.url).href).then(
    (cli) => cli.runFromShell(),
    (error) => {
      process.stderr.write(`${error.stack}\n`);
      process.exitCode = 1;
    },
  );
}
