/** Duplicates and contamination: what is seen only over the whole set. */
import type { SetFilter } from "../filter.ts";
import type { SynthRecord } from "../record.ts";
import { indexEvaluationSets } from "./evaluation-sets.ts";
import { NearDuplicates } from "./near-duplicates.ts";
import type { SynthFilterOptions } from "./options.ts";
import type { Fault } from "./rules.ts";

/**
 * Records come and verdicts go one by one. What is kept of a record for those after it is on disk.
 * @param folder where there is room for 280 bytes a record, 500 with a long answer, until the last verdict.
 */
export function makeSetFilter(options: SynthFilterOptions, folder: string): SetFilter {
  return async function* (records, { signal }) {
    const evaluation = await indexEvaluationSets(options.evaluationSets, signal);
    using duplicates = new NearDuplicates(options.nearDuplicateSimilarity, folder);
    const contamination = ({ instruction, answers }: SynthRecord): Fault | undefined => {
      const overlap = evaluation.find([instruction, answers[0]?.text ?? ""], options.contaminationShare);
      if (!overlap) return undefined;
      const detail = `${Math.round(100 * overlap.share)}% of ${overlap.where} in ${overlap.set}`;
      return { reason: "contaminated", detail };
    };
    for await (const record of records) {
      signal?.throwIfAborted();
      const { id } = record;
      // What is contaminated is no original that others repeat.
      const fault = contamination(record) ?? duplicates.take(record);
      yield fault ? { id, decision: "reject", ...fault } : { id, decision: "keep", answer: 0 };
    }
  };
}
