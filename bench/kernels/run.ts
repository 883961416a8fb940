/** node bench/kernels/run.ts [EXPERIMENT] [ROUNDS]: compares the versions of one experiment, or of all. */
import { loadKernels } from "../../src/kernels/load.ts";
import { groupedProductExperiment } from "./experiments/grouped-product.ts";
import { sumOfSquaresExperiment } from "./experiments/sum-of-squares.ts";
import { compare, describeRows, type Experiment } from "./lab.ts";

const experiments: Record<string, () => Experiment> = {
  "sum-of-squares": sumOfSquaresExperiment,
  "grouped-product": groupedProductExperiment,
};

const [wanted, rounds = "15"] = process.argv.slice(2);
const names = wanted === undefined ? Object.keys(experiments) : [wanted];
for (const name of names) {
  const open = experiments[name];
  if (!open) {
    console.error(`no experiment ${name}; there are ${Object.keys(experiments).join(", ")}`);
    process.exit(2);
  }
  using experiment = open();
  const rows = compare(experiment, Number(rounds));
  console.log(`${name}, level ${loadKernels().level}, ${rounds} rounds on one thread`);
  for (const line of describeRows(rows, experiment.work)) console.log(line);
}
