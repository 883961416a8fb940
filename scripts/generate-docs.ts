/** Writes the pages of docs/ that are made of the source. Run by `npm run docs`; test/cli.test.ts fails when they are stale. */
import { writeFileSync } from "node:fs";
import { cliMarkdown, errorsMarkdown } from "../src/cli/docs.ts";

const docs = new URL("../docs/", import.meta.url);
writeFileSync(new URL("cli.md", docs), await cliMarkdown());
writeFileSync(new URL("errors.md", docs), errorsMarkdown());
