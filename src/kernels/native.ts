/** koffi, loaded when a kernel or native memory is first used: who only imports Rookery maps no native library. */
import { createRequire } from "node:module";
import type koffi from "koffi";

const require = createRequire(import.meta.url);
let loaded: typeof koffi | undefined;

export function native(): typeof koffi {
  loaded ??= require("koffi") as typeof koffi;
  return loaded;
}
