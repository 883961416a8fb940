/** A conversation as the browser keeps it. */

/** Absent settings are the server's choice. The names are those of the wire. */
export type Sampling = {
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  repetition_penalty?: number;
  max_tokens?: number;
  seed?: number;
};

/** What one answer took. */
export type AnswerFacts = {
  firstTokenMs?: number;
  tokensPerSecond?: number;
  promptTokens?: number;
  cachedTokens?: number;
  answerTokens?: number;
};

/** How an answer ended. */
export type Ending =
  | { kind: "stop" }
  /** As long as was asked for, or as the model can. */
  | { kind: "length" }
  | { kind: "cancelled" }
  | { kind: "error"; message: string; retryAfterSeconds?: number };

export type Message = {
  id: string;
  role: "user" | "assistant";
  content: string;
  facts?: AnswerFacts;
  ending?: Ending;
  /** Whether a record of its experts is kept beside it. */
  hasExperts?: boolean;
};

export type DocumentInfo = { name: string; characters: number; tokens?: number };

export type Conversation = {
  id: string;
  title: string;
  updatedAtMs: number;
  systemPrompt: string;
  sampling: Sampling;
  /** Its text is kept beside it. */
  document?: DocumentInfo;
  recordsExperts: boolean;
  messages: Message[];
};

/** One token and the experts that handled it: [layers][topK], with their probabilities. */
export type TokenExperts = {
  position: number;
  token: number;
  text: string;
  experts: number[][];
  probabilities: number[][];
};

export const limits = {
  conversations: 200,
  /** Of a document's text: more than any context holds. */
  documentCharacters: 4_000_000,
  documentFileBytes: 100_000_000,
  /** Tokens whose experts are kept, an answer. */
  recordedTokens: 4000,
  messageCharacters: 400_000,
};

export function newId(): string {
  // randomUUID is absent on plain http except on localhost
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function newConversation(): Conversation {
  return {
    id: newId(),
    title: "",
    updatedAtMs: Date.now(),
    systemPrompt: "",
    sampling: {},
    recordsExperts: false,
    messages: [],
  };
}

/** The first words of the first question, or the document's name. */
export function titleOf({ title, messages, document }: Conversation): string {
  if (title !== "") return title;
  const words = messages[0]?.content.replace(/\s+/g, " ").trim() ?? "";
  if (words !== "") return [...words].slice(0, 60).join("");
  return document?.name ?? "New conversation";
}

type WireMessage = { role: "system" | "user" | "assistant"; content: string };

/**
 * The messages that are sent for an answer after `history`. The document stands in front of everything else, so that all
 * questions about it share one prefix, which the server has read already.
 */
export function toWire(
  conversation: Conversation,
  documentText: string | undefined,
  history: readonly Message[],
): WireMessage[] {
  const system = [
    documentText === undefined
      ? ""
      : `Answer questions about this document.\n\n<document name=${JSON.stringify(conversation.document?.name ?? "document")}>\n${documentText}\n</document>`,
    conversation.systemPrompt.trim(),
  ].filter((part) => part !== "");
  const messages = history
    .filter(({ content }) => content !== "")
    .map(({ role, content }): WireMessage => ({ role, content }));
  return system.length === 0 ? messages : [{ role: "system", content: system.join("\n\n") }, ...messages];
}
