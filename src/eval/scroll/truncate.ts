/** What becomes of inputs that are longer than the model reads. */
import type { ScrollMessage, ScrollRecord } from "./record.ts";

export const truncationPolicies = {
  refuse: "the item has no answer, as in PenguinScrolls",
  middle: "the middle of the longest message is left out",
  document:
    "the middle of the document is left out, where the record says where it stands; else of the longest message",
  end: "the longest message's beginning is kept",
  start: "the longest message's end is kept",
} as const;
export type TruncationPolicy = keyof typeof truncationPolicies;

/** Stands where something was left out. */
const gap = "\n…\n";

export type FittedInput = { messages: readonly ScrollMessage[]; tokens: number; cutCharacters: number };

/**
 * The input as messages of at most `most` tokens; null where it is longer and must not, or cannot, be cut.
 * @param countTokens of all messages in the model's template.
 */
export async function fitInput(
  { input, document }: Pick<ScrollRecord, "input" | "document">,
  { most, policy }: { most: number; policy: TruncationPolicy },
  countTokens: (messages: readonly ScrollMessage[]) => Promise<number>,
): Promise<FittedInput | null> {
  const messages: readonly ScrollMessage[] = typeof input === "string" ? [{ role: "user", content: input }] : input;
  const tokens = await countTokens(messages);
  if (tokens <= most) return { messages, tokens, cutCharacters: 0 };
  if (policy === "refuse") return null;
  const longest = messages.reduce(
    (best, { content }, at) => (content.length > messages[best]!.content.length ? at : best),
    0,
  );
  const { content } = messages[longest]!;
  const isSpan = policy === "document" && document !== null && document.end <= content.length;
  const span = isSpan ? document : { start: 0, end: content.length };
  const cut = (kept: number) => cutText(content, span, kept, policy);
  const withContent = (text: string) => messages.with(longest, { ...messages[longest]!, content: text });
  const around = tokens - (await countTokens(withContent(content.slice(0, span.start) + content.slice(span.end))));
  // tokens are spread unevenly over characters: a few rounds come near enough from below
  let kept = Math.floor(((span.end - span.start) * (around - (tokens - most))) / Math.max(around, 1));
  for (let round = 0; round < 20 && kept >= 0; round++) {
    const shorter = withContent(cut(kept));
    const left = await countTokens(shorter);
    if (left <= most) return { messages: shorter, tokens: left, cutCharacters: span.end - span.start - kept };
    kept = Math.floor(kept - Math.max(16, 1.05 * (left - most) * ((span.end - span.start) / Math.max(around, 1))));
  }
  return null;
}

/** Keeps so many characters of the span; whole ones, however many UTF-16 units they have. */
function cutText(text: string, { start, end }: { start: number; end: number }, kept: number, policy: TruncationPolicy) {
  const head = policy === "end" ? kept : policy === "start" ? 0 : Math.ceil(kept / 2);
  const tail = kept - head;
  const before = text.slice(0, start + head);
  const after = text.slice(end - tail);
  return `${before.isWellFormed() ? before : before.slice(0, -1)}${gap}${after.isWellFormed() ? after : after.slice(1)}`;
}
