/**
 * The byte-level alphabet of GPT-2, in which `tokenizer.json` spells tokens: each byte is one printable character.
 * Bytes that print in Latin-1 stand for themselves; the 68 others take U+0100 and up, in byte order.
 */

const printsInLatin1 = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

const charCodeOfByte = new Uint16Array(256);
const byteOfCharCode = new Int16Array(0x200).fill(-1);
{
  let next = 0x100;
  for (let byte = 0; byte < 256; byte++) {
    const code = printsInLatin1(byte) ? byte : next++;
    charCodeOfByte[byte] = code;
    byteOfCharCode[code] = byte;
  }
}

/**
 * The 256 bytes in the order of their ids: by the code point of their character, so `!` is 0. This is the order of
 * tiktoken's vocabularies, of the official Hunyuan one, and of Hugging Face's trainer.
 */
export const bytesInIdOrder: Uint8Array = Uint8Array.from(
  Array.from({ length: 256 }, (_, byte) => byte).sort((a, b) => charCodeOfByte[a]! - charCodeOfByte[b]!),
);

/** Id of each byte in a vocabulary that starts with `bytesInIdOrder`. */
export const idOfByte: Uint8Array = new Uint8Array(256);
for (let id = 0; id < 256; id++) idOfByte[bytesInIdOrder[id]!] = id;

/** Spells bytes in the alphabet. */
export function spellBytes(bytes: Uint8Array): string {
  let spelled = "";
  for (const byte of bytes) spelled += String.fromCharCode(charCodeOfByte[byte]!);
  return spelled;
}

/** The bytes that a spelled token stands for, or undefined when it has a character outside the alphabet. */
export function bytesOfSpelling(spelled: string): Uint8Array | undefined {
  const bytes = new Uint8Array(spelled.length);
  for (let index = 0; index < spelled.length; index++) {
    const code = spelled.charCodeAt(index);
    const byte = code < 0x200 ? byteOfCharCode[code]! : -1;
    if (byte < 0) return undefined;
    bytes[index] = byte;
  }
  return bytes;
}
