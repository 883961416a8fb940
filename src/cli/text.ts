/** Words for people: numbers, sizes, durations, and text that is safe to print on a terminal. */

/**
 * The text as one line without control characters: names and values in messages come from files,
 * and must neither break a line nor steer the terminal.
 */
export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, (found) => (/^[\r\n\t]+$/.test(found) ? " " : "�"));
}

/** 1234567 → "1.23M"; below ten thousand the number itself. */
export function shortNumber(value: number): string {
  for (const [size, suffix] of numberSuffixes) {
    if (Math.abs(value) >= size) return `${trimZeros((value / size).toPrecision(3))}${suffix}`;
  }
  return trimZeros(Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3));
}

const numberSuffixes = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
  [1e4, "K"],
] as const satisfies readonly (readonly [number, string])[];

// The scale of "K" starts at ten thousand so that 4,096 stays recognizable.
function trimZeros(text: string): string {
  return text.includes("e") ? String(Number(text)) : text.replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
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

/** Rows as aligned columns, two spaces apart; numbers are the caller's to format. */
export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  return rows.map((row) =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column]!))).join("  "),
  );
}

/** Words wrapped to lines of at most `width` characters. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(/\s+/)) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  lines.push(line);
  return lines;
}
