/** Axes of plots: ticks at round values, their labels, and where a value lies. */

export type AxisScale = "linear" | "log";

export type Axis = { ticks: number[]; place(value: number): number };

/** 1, 2 and 5 times powers of ten from below `min` to above `max`. */
export function logTicks(min: number, max: number): number[] {
  const ticks: number[] = [];
  // a power more on either side, since a logarithm may be rounded over the edge
  for (let power = Math.floor(Math.log10(min)) - 1; power <= Math.ceil(Math.log10(max)) + 1; power++) {
    for (const step of [1, 2, 5]) ticks.push(step * 10 ** power);
  }
  const first = ticks.findLastIndex((tick) => tick <= min);
  const last = ticks.findIndex((tick) => tick >= max);
  return ticks.slice(Math.max(0, first), last < 0 ? ticks.length : last + 1);
}

const mostTicks = 9;

/** `logTicks` thinned to whole powers of ten, and to some of these, where they would be too many. */
function fewLogTicks(min: number, max: number): number[] {
  const ticks = logTicks(min, max);
  if (ticks.length <= mostTicks) return ticks;
  const low = Math.floor(Math.log10(min) + 1e-9);
  const high = Math.ceil(Math.log10(max) - 1e-9);
  const stride = Math.ceil((high - low) / mostTicks);
  const powers = Array.from({ length: Math.ceil((high - low) / stride) + 1 }, (_, i) => low + i * stride);
  return powers.map((power) => 10 ** power);
}

/** Multiples of 1, 2 or 5 times a power of ten, from below `min` to above `max`. */
export function linearTicks(min: number, max: number): number[] {
  const span = max > min ? max - min : Math.abs(max) || 1;
  const rough = span / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((times) => times * power >= rough) ?? 10);
  const [first, last] = [Math.floor(min / step), Math.ceil(max / step)];
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

export function ticksFor(scale: AxisScale, values: readonly number[]): number[] {
  const [min, max] = [Math.min(...values), Math.max(...values)];
  return scale === "log" ? fewLogTicks(min, max) : linearTicks(min, max);
}

/** Maps [from, to] onto [start, end]; where there is no range, onto its middle. */
export function placeOn(scale: AxisScale, from: number, to: number, start: number, end: number) {
  return (value: number): number => {
    if (from === to) return (start + end) / 2;
    const share = scale === "log" ? Math.log(value / from) / Math.log(to / from) : (value - from) / (to - from);
    return start + (end - start) * share;
  };
}

const suffixes = [
  [1e12, "T"],
  [1e9, "B"],
  [1e6, "M"],
] as const;

export function shortTick(value: number): string {
  if (Math.abs(value) >= 1e14 || (value !== 0 && Math.abs(value) < 1e-4)) {
    return value.toExponential(2).replace(/\.?0+e\+?/, "e");
  }
  const [size, suffix] = suffixes.find(([from]) => Math.abs(value) >= from) ?? [1, ""];
  return `${Number((value / size).toPrecision(6))}${suffix}`;
}
