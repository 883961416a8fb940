import { RookeryError } from "../base/errors.ts";
import { quoteForMessage } from "../base/files.ts";

// The format: 8 bytes little-endian header length, a JSON header, then the tensors' bytes, back to back. A header comes
// from strangers: whatever it says is checked against the file before anything is allocated for it.

/** Bytes of one element, for every type this Rookery reads and writes. */
export const dtypeBytes = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
} as const;

export type SafetensorsDtype = keyof typeof dtypeBytes;

/** One tensor as a header describes it. `begin` counts from the end of the header; all sizes are bytes. */
export type TensorEntry = {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly byteLength: number;
};

export type SafetensorsHeader = {
  /** In the order of their bytes in the file. */
  readonly entries: readonly TensorEntry[];
  readonly metadata: Readonly<Record<string, string>>;
};

/** The reference implementation's limit; the largest published headers have a few hundred kilobytes. */
export const maxHeaderBytes = 100_000_000;
const maxDimensions = 32;
/** Keeps a header of 100 MB from taking gigabytes once parsed. The 389B model has 3,778 tensors, in many files. */
const maxKeys = 500_000;

export function isDtype(text: string): text is SafetensorsDtype {
  return Object.hasOwn(dtypeBytes, text);
}

/** The error for a file that is not what it claims to be. `file` is shown first. */
export function damaged(file: string, what: string): RookeryError {
  return new RookeryError("FILE_DAMAGED", `${file}: ${what}`, "take another copy of the file, or make it again");
}

/**
 * Bytes of a tensor, or null when they exceed what a file can have (2^53). Multiplies from the left like the reference
 * implementation, so [2^40, 2^40, 0] overflows although it is empty.
 */
export function tensorBytes(dtype: SafetensorsDtype, shape: readonly number[]): number | null {
  let elements = 1;
  for (const dimension of shape) {
    elements *= dimension;
    if (elements > Number.MAX_SAFE_INTEGER) return null;
  }
  const bytes = elements * dtypeBytes[dtype];
  return bytes > Number.MAX_SAFE_INTEGER ? null : bytes;
}

/**
 * Reads a header of a file whose tensors take `dataBytes` bytes. Throws FILE_DAMAGED, naming `file` and the tensor, for
 * whatever breaks the format, and UNKNOWN_FORMAT for a type that is not known here.
 */
export function parseHeader(headerBytes: Uint8Array, dataBytes: number, file: string): SafetensorsHeader {
  if (headerBytes[0] !== 0x7b) throw damaged(file, "the header does not start with {");
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(headerBytes);
  } catch {
    throw damaged(file, "the header is not UTF-8");
  }
  const raw = new HeaderParser(text, file).parse();
  const entries: TensorEntry[] = [];
  for (const [name, described] of raw.tensors) entries.push(checkEntry(name, described, dataBytes, file));
  entries.sort((a, b) => a.begin - b.begin || a.byteLength - b.byteLength);
  let end = 0;
  for (const entry of entries) {
    if (entry.begin !== end) {
      const flaw = entry.begin < end ? "overlaps the tensor before it" : "leaves a gap before it";
      throw damaged(file, `tensor ${quoteForMessage(entry.name)} ${flaw} (starts at ${entry.begin}, not ${end})`);
    }
    end += entry.byteLength;
  }
  if (end !== dataBytes) {
    const flaw = end > dataBytes ? "the file is cut short" : "the file has bytes that belong to no tensor";
    throw damaged(file, `${flaw}: its tensors take ${end} bytes, it has ${dataBytes}`);
  }
  return { entries, metadata: raw.metadata };
}

type RawTensor = { dtype: string; shape: number[]; offsets: number[] };

function checkEntry(name: string, raw: RawTensor, dataBytes: number, file: string): TensorEntry {
  const shown = `tensor ${quoteForMessage(name)}`;
  if (!isDtype(raw.dtype)) {
    throw new RookeryError(
      "UNKNOWN_FORMAT",
      `${file}: ${shown} has the unknown type ${quoteForMessage(raw.dtype)}`,
      `types that can be read: ${Object.keys(dtypeBytes).join(" ")}`,
    );
  }
  const byteLength = tensorBytes(raw.dtype, raw.shape);
  if (byteLength === null) throw damaged(file, `${shown} has a shape that overflows: [${raw.shape.join(", ")}]`);
  const [begin, end] = raw.offsets;
  if (begin === undefined || end === undefined || raw.offsets.length !== 2) {
    throw damaged(file, `${shown} needs two data_offsets, not ${raw.offsets.length}`);
  }
  if (begin > end || end > dataBytes) {
    throw damaged(file, `${shown} lies at bytes ${begin} to ${end}, but the file's tensors end at ${dataBytes}`);
  }
  if (end - begin !== byteLength) {
    throw damaged(
      file,
      `${shown} has ${end - begin} bytes; ${raw.dtype} [${raw.shape.join(", ")}] needs ${byteLength}`,
    );
  }
  return { name, dtype: raw.dtype, shape: raw.shape, begin, byteLength };
}

/**
 * Reads just the JSON that a header can hold: objects with known keys, strings, lists of whole numbers. JSON.parse would
 * take the last of two equal keys without a word, and round numbers over 2^53.
 */
class HeaderParser {
  private readonly text: string;
  private readonly file: string;
  private position = 0;

  constructor(text: string, file: string) {
    this.text = text;
    this.file = file;
  }

  parse(): { tensors: Map<string, RawTensor>; metadata: Record<string, string> } {
    const tensors = new Map<string, RawTensor>();
    let metadata: Record<string, string> = {};
    this.object((key) => {
      if (key === "__metadata__") metadata = this.metadata();
      else tensors.set(key, this.tensor(key));
    });
    this.skipSpace();
    if (this.position !== this.text.length) throw this.flaw("something follows the header's last }");
    return { tensors, metadata };
  }

  private metadata(): Record<string, string> {
    const values: [string, string][] = [];
    this.object((key) => {
      if (this.peek() !== '"') throw this.flaw(`metadata ${quoteForMessage(key)} is no string`);
      values.push([key, this.string()]);
    });
    // fromEntries defines own properties, so a key "__proto__" stays a key.
    return Object.fromEntries(values);
  }

  private tensor(name: string): RawTensor {
    let dtype: string | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.object((key) => {
      if (key === "dtype") dtype = this.string();
      else if (key === "shape") shape = this.wholeNumbers();
      else if (key === "data_offsets") offsets = this.wholeNumbers();
      else throw this.flaw(`tensor ${quoteForMessage(name)} has the unknown key ${quoteForMessage(key)}`);
    });
    if (dtype === undefined || shape === undefined || offsets === undefined) {
      const missing = dtype === undefined ? "dtype" : shape === undefined ? "shape" : "data_offsets";
      throw this.flaw(`tensor ${quoteForMessage(name)} has no ${missing}`);
    }
    return { dtype, shape, offsets };
  }

  /** Reads `{…}` and calls `value` at the place of each value. */
  private object(value: (key: string) => void): void {
    this.expect("{");
    if (this.accept("}")) return;
    const seen = new Set<string>();
    do {
      const key = this.string();
      if (seen.has(key)) throw this.flaw(`the key ${quoteForMessage(key)} stands there twice`);
      seen.add(key);
      if (seen.size > maxKeys) throw this.flaw(`more than ${maxKeys} keys`);
      this.expect(":");
      value(key);
    } while (this.accept(","));
    this.expect("}");
  }

  private wholeNumbers(): number[] {
    const numbers: number[] = [];
    this.expect("[");
    if (this.accept("]")) return numbers;
    do {
      if (numbers.length === maxDimensions) throw this.flaw(`a list is longer than ${maxDimensions}`);
      numbers.push(this.wholeNumber());
    } while (this.accept(","));
    this.expect("]");
    return numbers;
  }

  private wholeNumber(): number {
    this.skipSpace();
    const start = this.position;
    while (isDigit(this.text.charCodeAt(this.position))) this.position += 1;
    const digits = this.text.slice(start, this.position);
    const isWhole = digits !== "" && (digits === "0" || digits[0] !== "0") && !/[.eE]/.test(this.peek() ?? "");
    if (!isWhole) throw this.flaw("a whole number is expected");
    const number = Number(digits);
    if (!Number.isSafeInteger(number)) throw this.flaw(`the number ${quoteForMessage(digits, 30)} is too large`);
    return number;
  }

  private string(): string {
    this.skipSpace();
    const start = this.position;
    if (this.text[start] !== '"') throw this.flaw("a string is expected");
    // A loop, because a regular expression would run out of stack on a string of many megabytes.
    let end = start + 1;
    let escaped = false;
    while (this.text.charCodeAt(end) !== 0x22) {
      const isBackslash = this.text.charCodeAt(end) === 0x5c;
      escaped ||= isBackslash;
      end += isBackslash ? 2 : 1;
      if (end >= this.text.length) throw this.flaw("a string has no end");
    }
    const literal = this.text.slice(start, end + 1);
    const value = escaped || hasControlCharacter(literal) ? this.parseLiteral(literal) : literal.slice(1, -1);
    if (!value.isWellFormed()) throw this.flaw("a string holds half of a character (a lone surrogate)");
    this.position = end + 1;
    return value;
  }

  private parseLiteral(literal: string): string {
    try {
      return JSON.parse(literal) as string;
    } catch {
      throw this.flaw("a string holds a control character or an unknown escape");
    }
  }

  private peek(): string | undefined {
    this.skipSpace();
    return this.text[this.position];
  }

  private accept(character: string): boolean {
    if (this.peek() !== character) return false;
    this.position += 1;
    return true;
  }

  private expect(character: string): void {
    if (!this.accept(character)) throw this.flaw(`${character} is expected`);
  }

  private skipSpace(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.position);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.position += 1;
    }
  }

  private flaw(what: string): RookeryError {
    return damaged(this.file, `the header is broken at character ${this.position}: ${what}`);
  }
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

function hasControlCharacter(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) < 0x20) return true;
  return false;
}

/** The declaration of a tensor that is to be written. */
export type TensorDeclaration = {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
};

/**
 * Lays tensors out one after another, in the given order, and writes the header: length, JSON, and spaces up to a
 * multiple of 8, so that the first tensor is aligned in the file. Throws INVALID_OPTION for what cannot be written.
 */
export function buildHeader(
  tensors: readonly TensorDeclaration[],
  metadata: Readonly<Record<string, string>>,
): { bytes: Uint8Array; entries: TensorEntry[] } {
  const entries: TensorEntry[] = [];
  const seen = new Set<string>();
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let begin = 0;
  for (const { name, dtype, shape } of tensors) {
    const byteLength = checkDeclaration(name, dtype, shape, seen);
    const end = begin + byteLength;
    fields.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
    entries.push({ name, dtype, shape: [...shape], begin, byteLength });
    begin = end;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const paddedLength = Math.ceil(json.byteLength / 8) * 8;
  if (paddedLength > maxHeaderBytes) {
    throw new RookeryError(
      "INVALID_OPTION",
      `${tensors.length} tensors need a header of ${paddedLength} bytes; safetensors allows ${maxHeaderBytes}`,
      "write several files",
    );
  }
  const bytes = new Uint8Array(8 + paddedLength).fill(0x20, 8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(paddedLength), true);
  bytes.set(json, 8);
  return { bytes, entries };
}

function checkDeclaration(name: string, dtype: string, shape: readonly number[], seen: Set<string>): number {
  const shown = `tensor ${quoteForMessage(name)}`;
  const refuse = (what: string, hint: string): RookeryError =>
    new RookeryError("INVALID_OPTION", `${shown} cannot be written: ${what}`, hint);
  if (name === "__metadata__" || !name.isWellFormed()) throw refuse("its name is not allowed", "rename the tensor");
  if (seen.has(name)) throw refuse("its name is used twice", "rename one of the two");
  seen.add(name);
  if (!isDtype(dtype)) throw refuse(`the type ${quoteForMessage(dtype)} is unknown`, "convert it first");
  if (shape.length > maxDimensions || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw refuse(`its shape is [${shape.join(", ")}]`, "give whole numbers from 0 up");
  }
  const byteLength = tensorBytes(dtype, shape);
  if (byteLength === null) throw refuse(`its shape [${shape.join(", ")}] overflows`, "give a smaller tensor");
  return byteLength;
}
