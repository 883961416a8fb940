/** Tensors as a checkpoint writes them. */
import type { TensorToWrite } from "../formats/safetensors.ts";
import type { Tensor } from "../tensor/tensor.ts";

export function tensorToWrite(name: string, tensor: Tensor): TensorToWrite {
  return {
    name,
    dtype: tensor.dtype === "bf16" ? ("BF16" as const) : ("F32" as const),
    shape: tensor.shape,
    bytes: pieces(tensor),
  };
}

/** The bytes a few leading rows at a time, so that no large tensor is there twice. */
function* pieces(tensor: Tensor): Generator<Uint8Array> {
  const flat = tensor.reshape(tensor.elements);
  const chunk = 1 << 22;
  for (let start = 0; start < flat.elements; start += chunk) {
    yield flat.rows(start, Math.min(chunk, flat.elements - start)).toBytes();
  }
}
