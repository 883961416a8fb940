/** Writes the models that `ours.py` loads: node test/oracle/transformers/write-ours.ts FOLDER */
import fs from "node:fs";
import { configsForTransformers, writeOurModel } from "../our-models.ts";

const folder = process.argv[2];
if (folder === undefined) throw new Error("give a folder");
fs.mkdirSync(folder, { recursive: true });
for (const [name, config] of configsForTransformers()) writeOurModel(folder, name, config)[Symbol.dispose]();
