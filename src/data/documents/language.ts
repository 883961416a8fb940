/** The language that a text is in. */

/** More of a text changes nothing and takes time. */
const looksAtCharacters = 20_000;

/** ISO 639-1, such as "en" and "zh"; null where it cannot be told. */
export async function detectLanguage(text: string): Promise<string | null> {
  const { default: detector } = await import("eld/medium");
  const found = detector.detect(text.slice(0, looksAtCharacters).toWellFormed());
  return found.language === "" ? null : found.language;
}
