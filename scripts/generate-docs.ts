/** Writes the pages and drawings of docs/ that are made of code. Run by `npm run docs`; test/cli.test.ts and test/docs.test.ts fail when they are stale. */
import { writeFileSync } from "node:fs";
import { cliMarkdown, errorsMarkdown } from "../src/cli/docs.ts";
import { insideDrawings } from "./inside-drawings.ts";

const docs = new URL("../docs/", import.meta.url);
writeFileSync(new URL("cli.md", docs), await cliMarkdown());
writeFileSync(new URL("errors.md", docs), errorsMarkdown());
for (const [name, svg] of insideDrawings()) writeFileSync(new URL(`inside/${name}`, docs), svg);
