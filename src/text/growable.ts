/** A copy of `array` with room for at least `length` values; it doubles, so that filling one costs its size twice. */
export function grown<Array extends Uint8Array | Uint16Array | Int32Array | Uint32Array | Float64Array>(
  array: Array,
  length: number,
): Array {
  const larger = new (array.constructor as new (length: number) => Array)(Math.max(length, array.length * 2));
  larger.set(array);
  return larger;
}
