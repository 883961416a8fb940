/** node bench/kernels/run.ts [EXPERIMENT] [ROUNDS]: compares the versions of one experiment, or of all. */
import { loadKernels } from "../../src/kernels/load.ts";
import { experiments } from "./experiments/index.ts";
import { compare, describeRows } from "./lab.ts";

const [wanted, roundsWord = "15"] = process.argv.slice(2);
const rounds = Number(roundsWord);
if (!(Number.isInteger(rounds) && rounds > 0)) {
  console.error(`${roundsWord} is no number of rounds; give 1 or more`);
  process.exit(2);
}
const names = wanted === undefined ? Object.keys(experiments) : [wanted];
for (const name of names) {
  const open = experiments[name];
  if (!open) {
    console.error(`no experiment ${name}; there are ${Object.keys(experiments).join(", ")}`);
    process.exit(2);
  }
  using experiment = open();
  const rows = compare(experiment, rounds);
  console.log(`${name}, level ${loadKernels().level}, ${rounds} rounds on one thread`);
  for (const line of describeRows(rows, experiment.work)) console.log(line);
}
