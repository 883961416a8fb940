/** Writes the models that `official.py` loads: node test/oracle/official/write-ours.ts FOLDER */
import fs from "node:fs";
import { configsForTheOfficialCode, writeOurModel } from "../our-models.ts";

const folder = process.argv[2];
if (folder === undefined) throw new Error("give a folder");
fs.mkdirSync(folder, { recursive: true });
for (const [name, config] of configsForTheOfficialCode()) writeOurModel(folder, name, config)[Symbol.dispose]();
