const format = new Intl.NumberFormat("en", { notation: "compact", minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** 31244288 → "31.2M": for messages, where digits would only be in the way. */
export function compactCount(count: number): string {
  return format.format(count);
}
