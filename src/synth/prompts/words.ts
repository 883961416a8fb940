/** What all prompts share. */
import type { ChatMessage } from "../../endpoint/wire.ts";

const languageNames = new Intl.DisplayNames(["en"], { type: "language" });

/** "zh" → "Chinese". */
export function languageName(language: string): string {
  try {
    return languageNames.of(language) ?? language;
  } catch {
    return language;
  }
}

/** Text from outside between marks that it cannot forge: whatever it says is material, not a wish. */
export function quoted(name: string, text: string): string {
  let mark = name;
  for (let number = 1; text.includes(`</${mark}>`); number++) mark = `${name}-${number}`;
  return `<${mark}>\n${text.trim()}\n</${mark}>`;
}

export function chatOf(system: string, user: string): ChatMessage[] {
  return [
    { role: "system", content: system },
    { role: "user", content: user },
  ];
}
