import { embeddingBackward, embeddingForward } from "../../kernels/bindings/loss.ts";
import type { Execution } from "../execution.ts";
import type { Parameter } from "../parameter.ts";
import type { Tensor } from "../tensor.ts";

/** Rows of the table: ids int32 [tokens], table [vocabulary, columns] → [tokens, columns] in the compute type. */
export function embedding(execution: Execution, ids: Tensor, table: Parameter): Tensor {
  const { tape, pool } = execution;
  const [vocabulary, columns] = [table.out, table.in];
  const tokens = ids.elements;
  const out = execution.arena.tensor(execution.computeType, tokens, columns);
  const dtype = out.dtypeCode;
  embeddingForward({ pool, dtype, ids, table: table.weight, out, tokens, vocabulary, columns });
  tape?.record([ids], () => {
    using dout = tape.take(out);
    if (!dout) return;
    const tableGradient = table.gradientToAddTo();
    embeddingBackward({ pool, dtype, ids, dout: dout.tensor, tableGradient, tokens, vocabulary, columns });
  });
  return out;
}
