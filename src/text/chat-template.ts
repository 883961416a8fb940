import { RookeryError } from "../base/errors.ts";
import { joinIds } from "./ids.ts";
import { type ControlName, controlText } from "./pattern.ts";
import type { Tokenizer } from "./tokenizer.ts";

export const chatRoles = ["system", "user", "assistant", "tool"] as const;

export type ChatRole = (typeof chatRoles)[number];

export type ChatMessage = { role: ChatRole; content: string };

/** A part of a rendered chat: a control token, placed by id, or text, in which nothing is a control token. */
export type ChatSegment = {
  /** Index of the message that it comes from. */
  message: number;
  /** Whether the assistant is to learn it: its answers and the token that ends them. */
  fromAssistant: boolean;
} & ({ control: ControlName } | { text: string });

/**
 * The official template's rules, as Jinja, for `tokenizer_config.json`. `renderChat` is the same in segments: the
 * Jinja form makes one text, in which a user who types `<|eos|>` would end a turn.
 */
export const chatTemplate = [
  "{% for message in messages %}",
  "{% if message['role'] == 'user' %}",
  // A user turn starts anew, except right after the message that opened the chat. After an empty opening the official
  // template writes the start token twice, and models were trained on what it writes.
  `{% if loop.index0 != 1 %}{{ '${controlText.startOfText}' }}`,
  `{% elif messages[0]['content'] == '' %}{{ '${controlText.startOfText}${controlText.startOfText}' }}{% endif %}`,
  `{{ message['content'] + '${controlText.endOfUser}' }}`,
  "{% elif message['role'] == 'assistant' %}",
  `{{ message['content'] + '${controlText.eos}' }}`,
  "{% elif message['role'] == 'system' and loop.first and message['content'] != '' %}",
  `{{ '${controlText.startOfText}' + message['content'] + '${controlText.endOfSystem}' }}`,
  "{% else %}",
  "{{ message['content'] }}",
  "{% endif %}",
  "{% endfor %}",
].join("");

/**
 * Lays messages out as the official template does; the assistant answers right after the last segment.
 * A system message that is not the first, and what a tool says, stand bare.
 */
export function renderChat(messages: readonly ChatMessage[]): ChatSegment[] {
  const segments: ChatSegment[] = [];
  for (const [index, { role, content }] of messages.entries()) {
    const fromAssistant = role === "assistant";
    const control = (name: ControlName): unknown => segments.push({ message: index, fromAssistant, control: name });
    const text = (): unknown => content !== "" && segments.push({ message: index, fromAssistant, text: content });
    if (role === "user") {
      if (index !== 1) control("startOfText");
      else if (messages[0]!.content === "") {
        control("startOfText");
        control("startOfText");
      }
      text();
      control("endOfUser");
    } else if (role === "assistant") {
      text();
      control("eos");
    } else if (role === "system" && index === 0 && content !== "") {
      control("startOfText");
      text();
      control("endOfSystem");
    } else {
      text();
    }
  }
  return segments;
}

/** The text that the Jinja template makes of the same messages: for display, and for `/apply-template`. */
export function chatToText(segments: readonly ChatSegment[]): string {
  return segments.map((segment) => ("text" in segment ? segment.text : controlText[segment.control])).join("");
}

/**
 * Ids of a chat, and for each whether the assistant is to learn it (1) or only reads it (0).
 * Throws `BAD_DATA` on a message that cannot be rendered and `UNSUPPORTED_MODEL` when control tokens are missing.
 */
export async function encodeChat(
  tokenizer: Pick<Tokenizer, "encodeBatch" | "controlId">,
  messages: readonly ChatMessage[],
): Promise<{ ids: Int32Array; assistantMask: Uint8Array }> {
  if (!Array.isArray(messages)) throw new RookeryError("BAD_DATA", "a chat is no list", "give a list of messages");
  for (const [index, message] of messages.entries()) checkMessage(message, index);
  const segments = joinBareTexts(renderChat(messages));
  const texts = segments.flatMap((segment) => ("text" in segment ? [segment.text] : []));
  const encoded = (await tokenizer.encodeBatch(texts)).values();
  const parts = segments.map((segment) =>
    "text" in segment ? encoded.next().value! : Int32Array.of(tokenizer.controlId(segment.control)),
  );
  const ids = joinIds(parts);
  const assistantMask = new Uint8Array(ids.length);
  let offset = 0;
  for (const [index, part] of parts.entries()) {
    if (segments[index]!.fromAssistant) assistantMask.fill(1, offset, offset + part.length);
    offset += part.length;
  }
  return { ids, assistantMask };
}

/**
 * Neighbouring texts that others than the assistant wrote become one, as in the rendered text. The assistant's text
 * stays by itself: when it was generated, its first token began where the prompt ended.
 */
function joinBareTexts(segments: readonly ChatSegment[]): ChatSegment[] {
  const joined: ChatSegment[] = [];
  for (const segment of segments) {
    const last = joined.at(-1);
    if (last !== undefined && "text" in last && "text" in segment && !last.fromAssistant && !segment.fromAssistant) {
      joined[joined.length - 1] = { ...last, text: last.text + segment.text };
    } else {
      joined.push(segment);
    }
  }
  return joined;
}

function checkMessage(message: unknown, index: number): void {
  const { role, content } = (typeof message === "object" && message !== null ? message : {}) as Record<string, unknown>;
  if (typeof content !== "string") {
    throw new RookeryError("BAD_DATA", `message ${index} has no text as content`, "give `content` as a string");
  }
  if (!chatRoles.includes(role as ChatRole)) {
    throw new RookeryError(
      "BAD_DATA",
      `message ${index} has the role ${JSON.stringify(role)}`,
      `use one of ${chatRoles.join(", ")}`,
    );
  }
}
