/** The angles of rotary positions, as the official code makes them (interop §1.3). */
import type { ModelConfig } from "./config.ts";

/** bf16 has the upper 16 bits of an f32; ties go to even. */
function roundToBf16(value: number): number {
  const word = new Uint32Array(new Float32Array([value]).buffer);
  word[0] = ((word[0]! + 0x7fff + ((word[0]! >>> 16) & 1)) & 0xffff0000) >>> 0;
  return new Float32Array(word.buffer)[0]!;
}

/**
 * Radians a position for each pair of dimensions, [headDim / 2], in f32. With alpha the base is theta · alpha^(d / (d − 2)) at
 * every length; without scaling the official code rounds the frequencies to bf16, and so does this.
 */
export function rotaryFrequencies(config: Pick<ModelConfig, "headDim" | "ropeTheta" | "ropeScaling">): Float32Array {
  const { headDim, ropeTheta, ropeScaling } = config;
  // an alpha of 1 is told apart since 1 ** Infinity, at a headDim of 2, is no number
  const isScaled = ropeScaling !== null && ropeScaling.alpha !== 1;
  const base = isScaled ? ropeTheta * ropeScaling.alpha ** (headDim / (headDim - 2)) : ropeTheta;
  return Float32Array.from({ length: headDim / 2 }, (_, pair) => {
    const frequency = base ** ((-2 * pair) / headDim);
    return ropeScaling ? frequency : roundToBf16(frequency);
  });
}

/** cos and sin of position · frequency for `positions` positions from 0, each f32 [positions, headDim / 2]. */
export function rotaryTable(
  config: Pick<ModelConfig, "headDim" | "ropeTheta" | "ropeScaling">,
  positions: number,
): { cosine: Float32Array; sine: Float32Array } {
  const frequencies = rotaryFrequencies(config);
  const half = frequencies.length;
  const cosine = new Float32Array(positions * half);
  const sine = new Float32Array(positions * half);
  for (let position = 0; position < positions; position++) {
    for (let pair = 0; pair < half; pair++) {
      const angle = Math.fround(position * frequencies[pair]!);
      cosine[position * half + pair] = Math.cos(angle);
      sine[position * half + pair] = Math.sin(angle);
    }
  }
  return { cosine, sine };
}
