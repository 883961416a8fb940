/** node write-sets.ts FOLDER: the sets, and a tiny model that answers to them, for lm_eval_answers.py. */
import path from "node:path";
import { writeTinyModel } from "../../tiny-model.ts";
import { oracleConfig } from "./model.ts";
import { writeSets } from "./sets.ts";

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("say where to write");
writeSets(path.join(folder, "sets"));
await writeTinyModel(path.join(folder, "tiny"), oracleConfig);
