/** Long plain text into documents of a bounded size, cut where a reader would pause. */

export type Passage = {
  text: string;
  /** 1-based line at which it starts. */
  line: number;
};

const pauses: readonly RegExp[] = [/\n[ \t]*\n\s*/g, /\n+/g, /[.!?][)"'”’\]]*\s+|[。！？][」』”’]*/g, /\s+/g];

/** Where to cut a text longer than `max`: at the last paragraph, line, sentence or word that ends in its second half. */
export function cutPoint(text: string, max: number): number {
  const least = Math.floor(max / 2);
  for (const pause of pauses) {
    let last = -1;
    pause.lastIndex = 0;
    for (const match of text.slice(least, max).matchAll(pause)) last = least + match.index + match[0].length;
    if (last > 0) return last;
  }
  const code = text.charCodeAt(max - 1);
  // A high surrogate at the end belongs to the character that follows.
  return code >= 0xd800 && code <= 0xdbff ? max - 1 : max;
}

/** Collects text as it is read and gives it back in passages of at most `max` UTF-16 units. */
export class PassageCutter {
  readonly #max: number;
  #parts: string[] = [];
  #length = 0;
  #line = 1;

  constructor(max: number) {
    this.#max = max;
  }

  /** Adds text; `line` is the number of the line at which it starts. Returns the passages that are complete. */
  add(text: string, line: number): Passage[] {
    if (this.#length === 0) this.#line = line;
    this.#parts.push(text);
    this.#length += text.length;
    // Twice the size, so that joining and cutting stay linear in the length of the text.
    return this.#length > 2 * this.#max ? this.#cut() : [];
  }

  /** What is left. */
  end(): Passage[] {
    const passages = this.#cut();
    const text = this.#parts.join("");
    if (text.trim() !== "") passages.push({ text, line: this.#line });
    this.drop();
    return passages;
  }

  /** Forgets what has not been given back. */
  drop(): void {
    this.#parts = [];
    this.#length = 0;
  }

  #cut(): Passage[] {
    const passages: Passage[] = [];
    let text = this.#parts.join("");
    while (text.length > this.#max) {
      const at = cutPoint(text, this.#max);
      const passage = text.slice(0, at);
      if (passage.trim() !== "") passages.push({ text: passage, line: this.#line });
      for (let i = passage.indexOf("\n"); i !== -1; i = passage.indexOf("\n", i + 1)) this.#line++;
      text = text.slice(at);
    }
    this.#parts = [text];
    this.#length = text.length;
    return passages;
  }
}
