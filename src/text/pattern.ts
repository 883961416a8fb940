/**
 * How Hunyuan-Large's tokenizer cuts text, as data: the normalisation, the split pattern and the control tokens.
 * Our own tokenizers keep all three, so that a prompt is laid out the same for our models and for the official one.
 */

/** Unicode normalisation of the whole input, before anything else is looked at. */
export const normalizationForm = "NFC";

/**
 * The official split pattern, as `tokenizer.json` carries it (Oniguruma syntax: its `\s` is Unicode White_Space).
 * Alternatives, in order: English contractions; letters with at most one leading symbol or space; a single digit or
 * other number character; a run of symbols with a leading space and its line ends; blank lines; trailing space; space.
 */
export const splitPattern = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;

/**
 * The same pattern for JavaScript, whose `\s` would take U+FEFF and miss U+0085. The `u` flag folds `ſ` (U+017F) to `s`,
 * as the reference does. `splitter.ts` is the fast equivalent; this one is its yardstick.
 */
export const javascriptSplitPattern = new RegExp(
  splitPattern
    .replaceAll(String.raw`[^\s`, String.raw`[^\p{White_Space}`)
    .replaceAll(String.raw`\s`, String.raw`\p{White_Space}`)
    .replaceAll(String.raw`(?!\S)`, String.raw`(?!\P{White_Space})`),
  "gu",
);

/** Number of `<|extra_N|>` tokens that our own tokenizers carry; the template uses 0 and 4, generation stops at 5 too. */
export const numExtraTokens = 16;

/** The text of every control token, by its part in the recipe. */
export const controlText = {
  /** Ends a document in pre-training; the base tokenizer's end-of-sequence. */
  endOfText: "<|endoftext|>",
  /** Starts every prompt. */
  startOfText: "<|startoftext|>",
  /** Reserved in the official layout; the template does not use it. */
  bos: "<|bos|>",
  /** Ends the assistant's answer: the stop token of a chat. */
  eos: "<|eos|>",
  pad: "<|pad|>",
  /** Ends a user's turn; the assistant answers right after it. */
  endOfUser: "<|extra_0|>",
  /** Ends the system message. */
  endOfSystem: "<|extra_4|>",
  /** The second stop token of the official generation settings. */
  secondStop: "<|extra_5|>",
} as const;

export type ControlName = keyof typeof controlText;

function specialTokensWith(numExtras: number): readonly string[] {
  return [
    controlText.endOfText,
    controlText.startOfText,
    controlText.bos,
    controlText.eos,
    controlText.pad,
    ...Array.from({ length: numExtras }, (_, index) => `<|extra_${index}|>`),
  ];
}

/** Special tokens of our own tokenizers, in id order; they follow the BPE vocabulary, as in the official layout. */
export const specialTokens = specialTokensWith(numExtraTokens);

/** Special tokens of Hunyuan-Large's vocabulary: ids 127957 to 128165. */
export const officialSpecialTokens = specialTokensWith(204);

/** Smallest vocabulary that holds every byte and every special token. */
export const minVocabularySize = 256 + specialTokens.length;

/** Largest vocabulary that the trainer and the readers accept (the official one has 128,166 or 128,167 entries). */
export const maxVocabularySize = 131_072;
