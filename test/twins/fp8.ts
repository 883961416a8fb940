/** E4M3 by its definition (Micikevicius et al., 2022; OCP OFP8): slow, and exact. */

/** The value of each of the 256 codes. */
export const fp8Values = Float64Array.from({ length: 256 }, (_, code) => {
  const exponent = (code >> 3) & 15;
  const mantissa = code & 7;
  if (exponent === 15 && mantissa === 7) return Number.NaN;
  const magnitude = exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10);
  return code & 128 ? -magnitude : magnitude;
});

/** The code nearest to x, ties to the even one; ±448 for what is larger. */
export function toFp8(x: number): number {
  const sign = x < 0 || Object.is(x, -0) ? 128 : 0;
  if (Number.isNaN(x)) return sign | 127;
  const magnitude = Math.min(Math.abs(x), 448);
  let best = 0;
  for (let code = 1; code < 127; code++) {
    const [distance, least] = [Math.abs(fp8Values[code]! - magnitude), Math.abs(fp8Values[best]! - magnitude)];
    if (distance < least || (distance === least && code % 2 === 0)) best = code;
  }
  return sign | best;
}
