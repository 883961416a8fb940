/**
 * Reads JSON as language models write it: in a fence or between sentences, with raw line breaks, stray quotes, single quotes,
 * comments, trailing or missing commas, Python's constants, LaTeX's backslashes, brackets that are not closed.
 */

const longestText = 2 ** 20;
const deepest = 64;

const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", b: "\b", f: "\f" };
const constants: Readonly<Record<string, unknown>> = {
  true: true,
  false: false,
  null: null,
  True: true,
  False: false,
  None: null,
  undefined: null,
};
const closingQuotes: Readonly<Record<string, string>> = { '"': '"', "'": "'", "“": "”", "”": "”", "`": "`" };

/** The first JSON object or list in `text`, as it was most likely meant; undefined if there is none. */
export function readNearJson(text: string): unknown {
  if (text.length > longestText) return undefined;
  const strict = parsed(text);
  if (typeof strict === "object" && strict !== null) return strict;
  const start = text.search(/[{[]/);
  return start < 0 ? undefined : new Reader(text, start).value(0);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

class Reader {
  readonly #text: string;
  #at: number;

  constructor(text: string, at: number) {
    this.#text = text;
    this.#at = at;
  }

  /** Undefined where no value begins. */
  value(depth: number): unknown {
    this.#skipSpace();
    const first = this.#text[this.#at];
    if (first === undefined || depth > deepest) return undefined;
    if (first === "{") return this.#object(depth);
    if (first === "[") return this.#list(depth);
    if (first in closingQuotes) return this.#string(closingQuotes[first]!);
    return this.#word();
  }

  #object(depth: number): Record<string, unknown> {
    const entries: [string, unknown][] = [];
    this.#at += 1;
    while (!this.#ends("}")) {
      const before = this.#at;
      const key = this.#key();
      this.#skipSpace();
      if (this.#text[this.#at] === ":" || this.#text[this.#at] === "：") this.#at += 1;
      const value = this.value(depth + 1);
      if (key !== undefined && value !== undefined) entries.push([key, value]);
      if (this.#at === before) this.#at += 1;
    }
    // fromEntries makes "__proto__" a key like any other
    return Object.fromEntries(entries);
  }

  #list(depth: number): unknown[] {
    const items: unknown[] = [];
    this.#at += 1;
    while (!this.#ends("]")) {
      const before = this.#at;
      const item = this.value(depth + 1);
      if (item !== undefined) items.push(item);
      if (this.#at === before) this.#at += 1;
    }
    return items;
  }

  /** Whether an object or a list ends here, or with the text; takes separators and the bracket. */
  #ends(bracket: string): boolean {
    this.#skipSpace(/[\s,，]/);
    const next = this.#text[this.#at];
    if (next === undefined) return true;
    if (next !== bracket) return next === "}" || next === "]";
    this.#at += 1;
    return true;
  }

  #key(): string | undefined {
    const first = this.#text[this.#at]!;
    if (first in closingQuotes) return this.#string(closingQuotes[first]!);
    const word = this.#match(/[^\s:：,{}[\]"]+/y);
    return word === "" ? undefined : word;
  }

  /** A quote ends a string only if what follows could follow a string: models quote words inside of theirs. */
  #string(quote: string): string {
    let result = "";
    this.#at += 1;
    for (; this.#at < this.#text.length; this.#at++) {
      const character = this.#text[this.#at]!;
      if (character === "\\") result += this.#escape();
      else if (character === quote && /^\s*(?:$|[,，:：}\]])/.test(this.#text.slice(this.#at + 1, this.#at + 200)))
        break;
      else result += character;
    }
    this.#at += 1;
    return result;
  }

  /** What a backslash and its letter mean; one that means nothing, such as LaTeX's, stays. */
  #escape(): string {
    this.#at += 1;
    const letter = this.#text[this.#at] ?? "";
    if (letter === "u") {
      const digits = /^[0-9a-fA-F]{4}/.exec(this.#text.slice(this.#at + 1, this.#at + 5))?.[0];
      if (digits === undefined) return "\\u";
      this.#at += 4;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    return escapes[letter] ?? (/["'\\/]/.test(letter) ? letter : `\\${letter}`);
  }

  #word(): unknown {
    const word = this.#match(/[^\s,，:：{}[\]"]+/y);
    if (Object.hasOwn(constants, word)) return constants[word];
    const number = Number(word);
    return word !== "" && Number.isFinite(number) ? number : word === "" ? undefined : word;
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  /** Skips what separates, and comments. */
  #skipSpace(space = /\s/): void {
    for (;;) {
      while (this.#at < this.#text.length && space.test(this.#text[this.#at]!)) this.#at += 1;
      const comment = this.#match(/\/\/[^\n]*|\/\*[\s\S]*?\*\//y);
      if (comment === "") return;
    }
  }
}
