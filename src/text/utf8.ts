/** A stretch of bytes that is UTF-8, decoded, or one that is not. */
export type ByteRun = { text: string } | { bytes: Uint8Array };

/** Bytes of the UTF-8 character that starts at `index`, or 0 when there is none (Unicode, table 3-7). */
function characterLength(bytes: Uint8Array, index: number): number {
  const lead = bytes[index]!;
  if (lead < 0x80) return 1;
  const second = bytes[index + 1] ?? 0;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  const lowest = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const highest = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  if (second < lowest || second > highest) return 0;
  for (let offset = 2; offset < length; offset++) {
    const next = bytes[index + offset] ?? 0;
    if (next < 0x80 || next > 0xbf) return 0;
  }
  return length;
}

/** Parts any bytes into stretches of UTF-8 and stretches that are not, in order. */
export function splitByUtf8(bytes: Uint8Array): ByteRun[] {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const runs: ByteRun[] = [];
  let index = 0;
  while (index < bytes.length) {
    const start = index;
    for (let length = characterLength(bytes, index); length > 0 && index < bytes.length; ) {
      index += length;
      length = index < bytes.length ? characterLength(bytes, index) : 0;
    }
    if (index > start) {
      runs.push({ text: decoder.decode(bytes.subarray(start, index)) });
      continue;
    }
    while (index < bytes.length && characterLength(bytes, index) === 0) index++;
    runs.push({ bytes: bytes.subarray(start, index) });
  }
  return runs;
}
