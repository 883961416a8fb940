/** How numbers read on a page. */

const steps = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
  [1e4, "K"],
] as const;

/** 5.81e10 → "58.1B"; below ten thousand a whole number stays one: 1024, not 1020. */
export function countText(value: number): string {
  const [from, suffix] = steps.find(([least]) => Math.abs(value) >= least) ?? [1, ""];
  if (suffix === "" && Math.abs(value) >= 100) return String(Math.round(value));
  const size = suffix === "K" ? 1e3 : from;
  return `${Number((value / size).toPrecision(3))}${suffix}`;
}

export function flopsText(value: number): string {
  return value.toExponential(2).replace("e+", "e");
}

const byteSteps = [
  [1e12, "TB"],
  [1e9, "GB"],
  [1e6, "MB"],
  [1e3, "KB"],
] as const;

/** In powers of 1000, as makers of devices count: 8e10 → "80 GB". */
export function bytesText(bytes: number): string {
  const [size, unit] = byteSteps.find(([from]) => bytes >= from) ?? [1, "bytes"];
  return `${Number((bytes / size).toPrecision(3))} ${unit}`;
}

/** An amount of money, of which small ones are not 0. */
export function costText(amount: number): string {
  return amount >= 1 ? amount.toFixed(2) : String(Number(amount.toPrecision(2)));
}

export function percentText(share: number, digits = 1): string {
  return `${(100 * share).toFixed(digits)}%`;
}

export function intervalText(interval: readonly [number, number] | null, show = countText): string {
  return interval ? `${show(interval[0])}–${show(interval[1])}` : "none";
}

/** 0.25 days → "6 hours"; from a day on in days. */
export function daysText(days: number): string {
  const steps = [
    [1, "days"],
    [1 / 24, "hours"],
    [1 / 1440, "minutes"],
  ] as const;
  const [size, unit] = steps.find(([from]) => days >= from) ?? [1 / 86_400, "seconds"];
  return `${Number((days / size).toPrecision(3))} ${unit}`;
}
