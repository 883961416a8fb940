/** Held-out text: bits per byte, which different tokenizers can be compared by. */
import type { HeldOut } from "../data/held-out.ts";
import { dropless } from "../model/router.ts";
import type { Transformer } from "../model/transformer.ts";
import type { Execution } from "../tensor/execution.ts";
import { forwardLoss } from "./step.ts";

export type Evaluation = {
  /** Σ loss of the text tokens / ln 2 / their UTF-8 bytes. Control tokens count on neither side. */
  bitsPerByte: number;
  /** Mean loss of all targets, control tokens included, in nats. */
  crossEntropy: number;
  bytes: number;
  targets: number;
};

/** Measures without dropping or recycling: every token goes to the experts its router chose, as when serving. */
export function evaluate(execution: Execution, model: Transformer, heldOut: HeldOut): Evaluation {
  let [textLoss, allLoss, bytes, targets] = [0, 0, 0, 0];
  for (const batch of heldOut.batches) {
    const { losses } = forwardLoss(execution, model, batch, dropless, 1);
    for (const [index, loss] of losses.toFloat32Array().entries()) {
      if (batch.targets[index]! < 0) continue;
      allLoss += loss;
      targets++;
      if (batch.targetBytes[index]! > 0) textLoss += loss;
    }
    bytes += batch.bytes;
    execution.arena.reset();
  }
  return { bitsPerByte: textLoss / Math.LN2 / bytes, crossEntropy: allLoss / targets, bytes, targets };
}
