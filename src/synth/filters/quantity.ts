/** Numbers as people and models write them, with their units, in English and Chinese. */

/** A number, and how much it is of a base unit: 2 km is value 2, of length, 2000 in base units. */
export type Quantity = { value: number; dimension: string; baseValue: number };

/** Each unit: what it measures, and how many of the base unit it is. */
const units: Readonly<Record<string, readonly [dimension: string, factor: number]>> = Object.fromEntries(
  Object.entries({
    length: {
      mm: 0.001,
      millimeter: 0.001,
      millimetre: 0.001,
      毫米: 0.001,
      cm: 0.01,
      centimeter: 0.01,
      centimetre: 0.01,
      厘米: 0.01,
      公分: 0.01,
      dm: 0.1,
      分米: 0.1,
      m: 1,
      meter: 1,
      metre: 1,
      米: 1,
      km: 1000,
      kilometer: 1000,
      kilometre: 1000,
      千米: 1000,
      公里: 1000,
      inch: 0.0254,
      inches: 0.0254,
      ft: 0.3048,
      foot: 0.3048,
      feet: 0.3048,
      yard: 0.9144,
      yd: 0.9144,
      mile: 1609.344,
      mi: 1609.344,
    },
    mass: {
      mg: 1e-6,
      milligram: 1e-6,
      毫克: 1e-6,
      g: 0.001,
      gram: 0.001,
      克: 0.001,
      kg: 1,
      kilogram: 1,
      千克: 1,
      公斤: 1,
      斤: 0.5,
      t: 1000,
      ton: 1000,
      tonne: 1000,
      吨: 1000,
      lb: 0.45359237,
      lbs: 0.45359237,
      pound: 0.45359237,
      oz: 0.028349523125,
      ounce: 0.028349523125,
    },
    time: {
      ms: 0.001,
      millisecond: 0.001,
      毫秒: 0.001,
      s: 1,
      sec: 1,
      second: 1,
      秒: 1,
      秒钟: 1,
      min: 60,
      minute: 60,
      分钟: 60,
      h: 3600,
      hr: 3600,
      hour: 3600,
      小时: 3600,
      个小时: 3600,
      day: 86400,
      天: 86400,
      日: 86400,
      week: 604800,
      周: 604800,
      星期: 604800,
      个星期: 604800,
    },
    months: { month: 1, 个月: 1, year: 12, 年: 12 },
    volume: {
      ml: 0.001,
      milliliter: 0.001,
      millilitre: 0.001,
      毫升: 0.001,
      l: 1,
      liter: 1,
      litre: 1,
      升: 1,
    },
    area: {
      "cm²": 1e-4,
      cm2: 1e-4,
      "m²": 1,
      m2: 1,
      平方米: 1,
      平方厘米: 1e-4,
      "km²": 1e6,
      平方千米: 1e6,
      平方公里: 1e6,
    },
    speed: { "m/s": 1, "km/h": 1 / 3.6, mph: 0.44704, 千米每小时: 1 / 3.6, 米每秒: 1 },
    angle: { "°": 1, degree: 1, 度: 1 },
    dollars: { $: 1, dollar: 1, usd: 1, 美元: 1, cent: 0.01 },
    yuan: { "¥": 1, yuan: 1, rmb: 1, cny: 1, 元: 1, 块: 1, 块钱: 1 },
    euros: { "€": 1, euro: 1, eur: 1, 欧元: 1 },
    data: { byte: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 },
  }).flatMap(([dimension, names]) => Object.entries(names).map(([name, factor]) => [name, [dimension, factor]])),
);

const scales: Readonly<Record<string, number>> = {
  hundred: 1e2,
  thousand: 1e3,
  million: 1e6,
  billion: 1e9,
  trillion: 1e12,
  百: 1e2,
  千: 1e3,
  万: 1e4,
  百万: 1e6,
  千万: 1e7,
  亿: 1e8,
};

const digit = String.raw`(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+`;
/** A currency, a sign, a number (mixed, fraction or decimal, with an exponent), a scale, and what may be a unit. */
const pattern = new RegExp(
  String.raw`(?<currency>[$¥€])?\s?(?<sign>(?<![\d\p{L})])[-−–])?\s?(?<currency2>[$¥€])?(?<number>${digit})` +
    String.raw`(?:\s(?<top>\d+)\s?/\s?(?<bottom>\d+)|\s?/\s?(?<divisor>\d+(?:\.\d+)?)(?![\d/]))?` +
    String.raw`(?:\s?(?:e|[×x*]\s?10\s?\^?)\s?\{?(?<exponent>[-−+]?\d{1,3})\}?)?` +
    String.raw`(?:\s?(?<scale>hundred|thousand|million|billion|trillion|百万|千万|百|千(?![米克])|万|亿))?` +
    String.raw`(?:\s?(?<percent>[%％]|percent\b|per cent\b)|\s?(?<unit>\p{sc=Han}{1,5}|°|[\p{L}]{1,12}(?:/[a-z]{1,4}|[²2](?!\d))?))?`,
  "giu",
);

/** Small whole numbers in words. */
const words: Readonly<Record<string, number>> = Object.fromEntries([
  ..."zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty"
    .split(" ")
    .map((word, value) => [word, value] as const),
  ...[..."零一二三四五六七八九十"].map((word, value) => [word, value] as const),
  ["两", 2] as const,
]);

/** All quantities of a text, in order. LaTeX's fractions and marks around numbers are read through. */
export function quantitiesOf(text: string): Quantity[] {
  const plain = text
    .normalize("NFKC")
    .replace(/\\(?:d?frac)\{(-?[\d.]+)\}\{([\d.]+)\}/g, "$1/$2")
    .replace(/\\text\{([^{}]*)\}/g, " $1")
    .replace(/\\(?:boxed|mathrm|mathbf)\{([^{}]*)\}/g, "$1")
    .replace(/\\[,;!% ]|\$(?!\s?\d)|\*\*|\{,\}/g, (mark) => (mark === "\\%" ? "%" : mark === "{,}" ? "," : ""));
  const found = [...plain.matchAll(pattern)].map((match) => quantity(match.groups!));
  if (found.length > 0) return found;
  const word = /^\W*(?:a |an |the )?([a-z]+|\p{sc=Han})\W*$/iu.exec(plain.trim())?.[1]?.toLowerCase() ?? "";
  return Object.hasOwn(words, word) ? [{ value: words[word]!, dimension: "", baseValue: words[word]! }] : [];
}

function quantity(groups: Record<string, string | undefined>): Quantity {
  let value = Number(groups.number!.replace(/,/g, ""));
  if (groups.top !== undefined && Number(groups.bottom) !== 0) value += Number(groups.top) / Number(groups.bottom);
  if (groups.divisor !== undefined && Number(groups.divisor) !== 0) value /= Number(groups.divisor);
  if (groups.exponent !== undefined) value *= 10 ** Number(groups.exponent.replace("−", "-"));
  if (groups.scale !== undefined) value *= scales[groups.scale.toLowerCase()]!;
  if (groups.sign !== undefined) value = -value;
  if (groups.percent !== undefined) return { value, dimension: "ratio", baseValue: value / 100 };
  const [dimension, factor] = unitNamed(groups.currency ?? groups.currency2 ?? groups.unit ?? "") ?? ["", 1];
  return { value, dimension, baseValue: value * factor };
}

function unitNamed(name: string): readonly [dimension: string, factor: number] | undefined {
  const lower = name.toLowerCase();
  for (const candidate of [lower, lower.replace(/s$/, "")])
    if (Object.hasOwn(units, candidate)) return units[candidate];
  // Chinese runs on without a space: the longest unit that the run begins with.
  if (!/^\p{sc=Han}/u.test(name)) return undefined;
  for (let length = name.length - 1; length > 0; length--) {
    const beginning = name.slice(0, length);
    if (Object.hasOwn(units, beginning)) return units[beginning];
  }
  return undefined;
}

const isNear = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-6 * Math.max(Math.abs(a), Math.abs(b), 1e-12);

/** Whether two quantities say the same. One without a unit is taken to be in the other's, and 0.2 to be 20%. */
export function isSameQuantity(a: Quantity, b: Quantity): boolean {
  if (a.dimension === b.dimension) return isNear(a.baseValue, b.baseValue);
  if (a.dimension !== "" && b.dimension !== "") return false;
  if (isNear(a.value, b.value)) return true;
  return (a.dimension === "ratio" || b.dimension === "ratio") && isNear(a.baseValue, b.baseValue);
}
