/** Words for people: numbers, sizes, durations, and text that is safe to print on a terminal. */

/**
 * The text as one line without control characters: names and values in messages come from files,
 * and must neither break a line nor steer the terminal.
 */
export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]+/g, (found) =>
    /^[\r\n\t]+$/.test(found) ? " " : "�",
  );
}

/** A text of a model, which may have seen any bytes, without those that would steer the terminal: they become U+FFFD. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "�");
}

const numberSuffixes = [
  { from: 1e12, suffix: "T", size: 1e12 },
  { from: 1e9, suffix: "B", size: 1e9 },
  { from: 1e6, suffix: "M", size: 1e6 },
  { from: 1e4, suffix: "K", size: 1e3 }, // not from 1e3: 4096 is better known than 4.1K
];

/** 1234567 → "1.23M"; below ten thousand the number itself. */
export function shortNumber(value: number): string {
  const scale = numberSuffixes.find(({ from }) => Math.abs(value) >= from);
  if (scale !== undefined) return `${trimZeros(toThreeDigits(value / scale.size))}${scale.suffix}`;
  return trimZeros(toThreeDigits(value));
}

function toThreeDigits(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function trimZeros(text: string): string {
  if (text.includes("e")) return String(Number(text));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** Bytes in powers of 1024: "1.5 GiB". */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : trimZeros(value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0))} ${units[unit]}`;
}

/** 3725 s → "1:02:05"; 65 s → "1:05". */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/**
 * Rows as columns, two spaces apart. Columns from `numbersFrom` on are aligned to the right; a last column of words
 * is wrapped to `width`.
 */
export function alignColumns(
  rows: readonly (readonly string[])[],
  { numbersFrom = Number.POSITIVE_INFINITY, width = Number.POSITIVE_INFINITY } = {},
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  const indent = widths.slice(0, -1).reduce((sum, one) => sum + one + 2, 0);
  const pad = (cell: string, column: number) =>
    column >= numbersFrom ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!);
  return rows.flatMap((row) => {
    const [first = "", ...rest] = wrap(row.at(-1) ?? "", Math.max(20, width - indent));
    const last = row.length - 1 >= numbersFrom ? pad(first, row.length - 1) : first;
    const line = [...row.slice(0, -1).map(pad), last].join("  ");
    return [line, ...rest.map((more) => " ".repeat(indent) + more)];
  });
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines;
}
