/** Numbers as a reader wants them. */
const compactFormat = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const digitsFormat = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });

export const compact = (value: number) => compactFormat.format(value);
export const significant = (value: number) => value.toPrecision(3);
export const digits = (value: number) => digitsFormat.format(value);
export const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(2)} GB`;
export const percent = (share: number) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;
export const rate = (value: number) => (value === 0 ? "0" : value.toExponential(1).replace("e-", "e−"));

export function duration(seconds: number): string {
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return minutes < 90 ? `${minutes} min` : `${(seconds / 3600).toFixed(1)} h`;
}
