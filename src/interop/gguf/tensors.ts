/** A model's weights under llama.cpp's names and in GGUF's types. The experts of a layer lie in one tensor there. */
import { RookeryError } from "../../base/errors.ts";
import { quoteForMessage } from "../../base/files.ts";
import type { GgufTensorToWrite, GgufTensorType } from "../../formats/gguf.ts";
import { dtypeBytes, type TensorSource } from "../../formats/safetensors.ts";
import type { ModelConfig } from "../../model/config.ts";
import { toFloats } from "../floats.ts";
import { expectedTensors } from "../model-tensors.ts";

/** Official names outside the layers, and within one, without ".weight" (interop §4). */
const outerNames: Record<string, string> = {
  "model.embed_tokens": "token_embd",
  "model.norm": "output_norm",
  lm_head: "output",
};
const layerNames: Record<string, string> = {
  input_layernorm: "attn_norm",
  post_attention_layernorm: "ffn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.query_layernorm": "attn_q_norm",
  "self_attn.key_layernorm": "attn_k_norm",
  "mlp.gate.wg": "ffn_gate_inp",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
  "mlp.shared_mlp.gate_proj": "ffn_gate_shexp",
  "mlp.shared_mlp.up_proj": "ffn_up_shexp",
  "mlp.shared_mlp.down_proj": "ffn_down_shexp",
  "mlp.experts.gate_proj": "ffn_gate_exps",
  "mlp.experts.up_proj": "ffn_up_exps",
  "mlp.experts.down_proj": "ffn_down_exps",
};

/** What llama.cpp calls a tensor of the official state dict. */
export function ggufTensorName(official: string): string {
  const name = official.replace(/\.weight$/, "");
  const [, layer, part] = /^model\.layers\.(\d+)\.(.+)$/.exec(name) ?? [];
  const found =
    part === undefined ? outerNames[name] : layerNames[part.replace(/^mlp\.experts\.\d+\./, "mlp.experts.")];
  if (found === undefined) throw new Error(`${official} has no name in GGUF`);
  return `${layer === undefined ? "" : `blk.${layer}.`}${found}.weight`;
}

/** A tensor of the GGUF, and the official ones that it is made of, one behind the other. */
type Plan = { name: string; type: GgufTensorType; shape: number[]; parts: string[] };

/** As llama.cpp's own converter has it: norms and the router are f32 whatever the rest is. */
function planTensors(config: ModelConfig, type: GgufTensorType): Plan[] {
  const plans = new Map<string, Plan>();
  for (const [official, shape] of expectedTensors(config)) {
    const name = ggufTensorName(official);
    const isExpert = official.includes(".experts.");
    const isWide = shape.length === 1 || name.endsWith(".ffn_gate_inp.weight");
    const plan = plans.get(name) ?? { name, type: isWide ? "F32" : type, shape: [...shape], parts: [] };
    plans.set(name, plan);
    plan.parts.push(official);
    if (isExpert) plan.shape = [plan.parts.length, ...shape];
  }
  return [...plans.values()];
}

/**
 * The tensors of a GGUF, read from `source` and converted piece by piece as they are written.
 * @param onBytes hears how many bytes of `source` have been read.
 * @throws RookeryError INVALID_OPTION, while they are read, for a value that the type cannot hold.
 */
export function ggufTensors(
  config: ModelConfig,
  source: TensorSource,
  type: GgufTensorType,
  onBytes: (count: number) => void,
): GgufTensorToWrite[] {
  return planTensors(config, type).map(({ parts, ...tensor }) => ({
    ...tensor,
    bytes: converted(source, parts, tensor.type, onBytes),
  }));
}

function* converted(
  source: TensorSource,
  parts: readonly string[],
  type: GgufTensorType,
  onBytes: (count: number) => void,
): Generator<Uint8Array> {
  for (const part of parts) {
    const { dtype } = source.tensors.get(part)!;
    for (const piece of source.chunks(part, piecesOf * dtypeBytes[dtype])) {
      yield dtype === type ? piece : encodeFloats(toFloats(piece, dtype), type, part);
      onBytes(piece.byteLength);
    }
  }
}

/** Elements converted at a time: a multiple of every block. */
const piecesOf = 2 ** 20;

/**
 * Values as the bytes of a GGUF type, rounded to nearest.
 * @param name shown in messages.
 * @throws RookeryError INVALID_OPTION for a value that the type cannot hold.
 */
export function encodeFloats(values: Float32Array<ArrayBuffer>, type: GgufTensorType, name: string): Uint8Array {
  switch (type) {
    case "F32":
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    case "F16": {
      const halves = new Float16Array(values);
      if (!halves.every(Number.isFinite)) throw cannotHold(name, "F16");
      return new Uint8Array(halves.buffer);
    }
    case "BF16":
      return toBf16(values);
    case "Q8_0":
      return toQ8(values, name);
  }
}

function toBf16(values: Float32Array<ArrayBuffer>): Uint8Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    // ties to even; a NaN stays one
    const isNotANumber = (word & 0x7fff_ffff) > 0x7f80_0000;
    halves[i] = isNotANumber ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return new Uint8Array(halves.buffer);
}

/**
 * Q8_0: of each 32 values the scale largest / 127 in f16, then the values by it as 8-bit integers, halves away from zero: ggml's
 * quantize_row_q8_0_ref, in f32 like it.
 */
function toQ8(values: Float32Array, name: string): Uint8Array {
  const blocks = values.length / 32;
  const bytes = new Uint8Array(34 * blocks);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < blocks; block++) {
    const first = 32 * block;
    let largest = 0;
    // Math.max hands a NaN on
    for (let i = first; i < first + 32; i++) largest = Math.max(largest, Math.abs(values[i]!));
    const scale = Math.fround(largest / 127);
    view.setFloat16(34 * block, scale, true);
    if (!Number.isFinite(view.getFloat16(34 * block, true))) throw cannotHold(name, "Q8_0");
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    for (let i = 0; i < 32; i++) {
      const scaled = Math.fround(values[first + i]! * inverse);
      bytes[34 * block + 2 + i] = scaled < 0 ? -Math.floor(0.5 - scaled) : Math.floor(scaled + 0.5);
    }
  }
  return bytes;
}

function cannotHold(name: string, type: GgufTensorType): RookeryError {
  return new RookeryError(
    "INVALID_OPTION",
    `${quoteForMessage(name)} has a value that ${type} cannot hold`,
    "export as bf16 or f32",
  );
}
