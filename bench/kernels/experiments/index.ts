import type { Experiment } from "../lab.ts";
import { groupedProductExperiment } from "./grouped-product.ts";
import { sumOfSquaresExperiment } from "./sum-of-squares.ts";

/** By name. To add one: a file here, and a line. */
export const experiments: Record<string, () => Experiment> = {
  "sum-of-squares": sumOfSquaresExperiment,
  "grouped-product": groupedProductExperiment,
};
