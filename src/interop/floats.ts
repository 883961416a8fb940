import type { SafetensorsDtype } from "../formats/safetensors.ts";

/** Little-endian F32, BF16 or F16 bytes as f32; every one of their values is exact in it. */
export function toFloats(bytes: Uint8Array, dtype: SafetensorsDtype): Float32Array<ArrayBuffer> {
  // A copy, since typed arrays must start at a multiple of their element's size.
  const { buffer } = bytes.slice();
  if (dtype === "F32") return new Float32Array(buffer);
  if (dtype === "F16") return new Float32Array(new Float16Array(buffer));
  if (dtype !== "BF16") throw new TypeError(`${dtype} is no dtype of weights`);
  const halves = new Uint16Array(buffer);
  const words = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16;
  return new Float32Array(words.buffer);
}
