/** A trained model as a Hugging Face directory: matrices in bf16, norms and router in f32 as in the official layout. */
import fs from "node:fs";
import path from "node:path";
import type { GenerationSettings } from "../interop/generation-config.ts";
import { writeModelDirectory } from "../interop/model-directory.ts";
import { axpy } from "../kernels/bindings/optim.ts";
import type { Transformer } from "../model/transformer.ts";
import type { Execution } from "../tensor/execution.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

export type ModelToSave = {
  execution: Execution;
  model: Transformer;
  tokenizer: Tokenizer;
  /** The folder whose files are copied into the model's. */
  tokenizerFolder: string;
  modelCard: string;
};

/** Writes `folder`, whole or not at all, in the place of an older one. @throws RookeryError FILE_UNWRITABLE. */
export function saveModel(
  folder: string,
  { execution, model, tokenizer, tokenizerFolder, modelCard }: ModelToSave,
): void {
  const tensors = model.officialTensors().map(({ name, tensor }) => {
    const staysWide = tensor.shape.length === 1 || name.endsWith("mlp.gate.wg.weight");
    return staysWide
      ? { name, shape: tensor.shape, dtype: "F32" as const, bytes: lazily(() => tensor.toBytes()) }
      : { name, shape: tensor.shape, dtype: "BF16" as const, bytes: lazily(() => toBf16(execution, tensor)) };
  });
  writeModelDirectory(folder, {
    config: model.config,
    tensors,
    generation: generationSettings(tokenizer),
    modelCard,
    replace: true,
    writeTokenizer: (into) => {
      for (const name of fs.readdirSync(tokenizerFolder))
        fs.copyFileSync(path.join(tokenizerFolder, name), path.join(into, name));
    },
  });
}

/** One tensor at a time is converted and held. */
function* lazily(bytes: () => Uint8Array): Generator<Uint8Array> {
  yield bytes();
}

function toBf16(execution: Execution, tensor: Tensor): Uint8Array {
  using half = execution.arena.borrow("bf16", ...tensor.shape);
  axpy({
    pool: execution.pool,
    sourceDtype: tensor.dtypeCode,
    source: tensor,
    destinationDtype: half.tensor.dtypeCode,
    destination: half.tensor,
    count: tensor.elements,
    scale: 1,
    accumulate: 0,
  });
  return half.tensor.toBytes();
}

/** A base model stops where a document ends; no temperature is recommended, since the official ones are for a chat model. */
function generationSettings(tokenizer: Tokenizer): GenerationSettings {
  return {
    bosTokenId: tokenizer.controlId("startOfText"),
    eosTokenIds: [tokenizer.controlId("endOfText"), tokenizer.controlId("eos")],
    padTokenId: tokenizer.controlId("pad"),
  };
}
