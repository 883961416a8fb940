/** The grammar library. Its package says that it is a module of ECMAScript and is none, so `import` cannot load it. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { compileFunction, constants } from "node:vm";
import type * as XGrammar from "@mlc-ai/web-xgrammar";

export type GrammarLibrary = Pick<
  typeof XGrammar,
  "CompiledGrammar" | "Grammar" | "GrammarCompiler" | "GrammarMatcher" | "TokenizerInfo"
>;

/** Loads the library into this thread: its file is run as the CommonJS that it is. */
export function loadGrammarLibrary(): GrammarLibrary {
  const require = createRequire(import.meta.url);
  const file = require.resolve("@mlc-ai/web-xgrammar");
  const parameters = ["exports", "require", "module", "__filename", "__dirname"];
  const run = compileFunction(readFileSync(file, "utf8"), parameters, {
    filename: file,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  const module = { exports: {} };
  run.call(module.exports, module.exports, createRequire(file), module, file, path.dirname(file));
  return module.exports as GrammarLibrary;
}
