/** Conversations and preference pairs from JSON records, in the forms that people have; what cannot be used says why. */
import { quoteForMessage } from "../base/files.ts";
import type { ChatMessage, ChatRole } from "../text/chat-template.ts";
import { brokenRule, type ChatRule, chatRules } from "./chat-rules.ts";
import { shownNames } from "./readers.ts";

/** A conversation to learn from: it ends with an answer of the assistant. */
export type Conversation = { messages: ChatMessage[] };

/** Two answers to one prompt, of which the first is better. The prompt ends with a user's turn. */
export type PreferencePair = { prompt: ChatMessage[]; chosen: string; rejected: string };

/** Why a record cannot be used. */
export const chatFaults = {
  unreadable: "a file that cannot be read, from there on",
  malformed: "no record",
  unknownForm: "none of the forms that are read",
  wrongRoles: "roles that do not make a conversation",
  emptyAnswer: "an answer without text",
  emptyTurn: "a turn without text",
  equalAnswers: "a chosen answer that is the rejected one",
  tooLong: "longer than --sequence-length",
  duplicate: "the same as an earlier one",
  contradiction: "the opposite of an earlier pair",
  ...chatRules,
} as const;
export type ChatFault = keyof typeof chatFaults;

export type Reading<Value> = { value: Value } | { fault: ChatFault; detail: string };

const refuse = (fault: ChatFault, detail: string) => ({ fault, detail });

/** Names of roles in ShareGPT's `from` and elsewhere. */
const roleNames: Readonly<Record<string, ChatRole>> = {
  system: "system",
  developer: "system",
  user: "user",
  human: "user",
  assistant: "assistant",
  gpt: "assistant",
  chatgpt: "assistant",
  bot: "assistant",
  ai: "assistant",
  model: "assistant",
  // what calls a tool is the assistant, too
  function_call: "assistant",
  tool: "tool",
  function: "tool",
  observation: "tool",
};

type Fields = Record<string, unknown>;

const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Content is a text, or a list of parts {type: "text", text}; what has other parts cannot be learnt from. */
function textOfContent(content: unknown): string | undefined {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return undefined;
  const texts = content.map((part) => (isObject(part) && part.type === "text" ? part.text : undefined));
  return texts.every((text) => typeof text === "string") ? texts.join("") : undefined;
}

const nobody = (name: unknown): string =>
  typeof name === "string" ? `${quoteForMessage(name, 30)}, who is nobody known` : "nobody";

/** Turns in the form [{role, content}] or [{from, value}]. */
function readTurns(turns: readonly unknown[]): Reading<ChatMessage[]> {
  const messages: ChatMessage[] = [];
  for (const [index, turn] of turns.entries()) {
    if (!isObject(turn)) return refuse("malformed", `turn ${index} is no object`);
    const name = turn.role ?? turn.from;
    const role = typeof name === "string" && Object.hasOwn(roleNames, name) ? roleNames[name] : undefined;
    if (!role) return refuse("wrongRoles", `turn ${index} is of ${nobody(name)}`);
    const content = textOfContent(turn.content ?? turn.value);
    if (content === undefined) {
      const callsTool = Array.isArray(turn.tool_calls) || isObject(turn.function_call);
      return refuse("malformed", `turn ${index} has no text${callsTool ? ", but calls a tool" : ""}`);
    }
    if (!content.isWellFormed()) return refuse("malformed", `turn ${index} has half of a surrogate pair`);
    messages.push({ role, content });
  }
  return { value: messages };
}

/** Roles in order: perhaps a system message, then turns of a user (or a tool, after an answer) and answers. */
function checkOrder(messages: readonly ChatMessage[], lastRole: "assistant" | "user"): Reading<ChatMessage[]> {
  const turns = messages[0]?.role === "system" ? messages.slice(1) : messages;
  if (turns[0]?.role !== "user") return refuse("wrongRoles", "the first turn is not the user's");
  for (const [index, { role, content }] of turns.entries()) {
    const before = turns[index - 1]?.role;
    if (role === "system") return refuse("wrongRoles", "a system message is not the first");
    if (role === "tool" && before !== "assistant" && before !== "tool") {
      return refuse("wrongRoles", "a tool speaks that nobody has asked");
    }
    if (role === "user" && before !== undefined && before !== "assistant") {
      return refuse("wrongRoles", "a user speaks twice, or into a tool's answer");
    }
    if (role === "assistant" && before === "assistant") return refuse("wrongRoles", "the assistant speaks twice");
    if (content.trim() === "") return refuse(role === "assistant" ? "emptyAnswer" : "emptyTurn", `turn ${index}`);
  }
  if (turns.at(-1)!.role !== lastRole && !(lastRole === "user" && turns.at(-1)!.role === "tool")) {
    return refuse(
      "wrongRoles",
      lastRole === "assistant" ? "no answer stands at the end" : "the prompt ends with an answer",
    );
  }
  return { value: [...messages] };
}

function then<From, To>(reading: Reading<From>, next: (value: From) => Reading<To>): Reading<To> {
  return "fault" in reading ? reading : next(reading.value);
}

const turnFields = ["messages", "conversations", "conversation"] as const;
const questionFields = ["instruction", "prompt", "question"] as const;
const answerFields = ["output", "completion", "response", "answer"] as const;

/** A text as a turn, or turns as they are; undefined for anything else. */
function turnsOf(value: unknown, role: ChatRole): readonly unknown[] | undefined {
  if (typeof value === "string") return [{ role, content: value }];
  return Array.isArray(value) ? value : undefined;
}

function present(record: Fields, names: readonly string[]): unknown {
  return record[names.find((name) => Object.hasOwn(record, name) && record[name] !== null) ?? ""];
}

/**
 * Reads one record as a conversation: turns as `messages` [{role, content}] or ShareGPT's `conversations` [{from, value}]; or a question
 * and its answer as `instruction`, `input` and `output` (Alpaca), `prompt` and `completion`, `question` and `answer`.
 * @param turnField the field that holds the turns, instead of those.
 */
export function readConversation(record: unknown, turnField?: string): Reading<Conversation> {
  if (!isObject(record)) return refuse("malformed", "no object");
  const turns = present(record, turnField === undefined ? turnFields : [turnField]);
  if (Array.isArray(turns)) return conversationOf(turns);
  if (turnField !== undefined) return refuse("unknownForm", `no turns in ${JSON.stringify(turnField)}`);
  const asked = turnsOf(withInput(present(record, questionFields), record.input), "user");
  const answered = turnsOf(present(record, answerFields), "assistant");
  if (asked === undefined || answered === undefined) {
    // such as turns that are JSON within JSON
    if (turns !== undefined)
      return refuse("unknownForm", `what should be a list of turns is ${quoteForMessage(JSON.stringify(turns), 40)}`);
    const fields = shownNames(Object.keys(record));
    return refuse("unknownForm", `no messages, no conversations, no question with its answer; its fields: ${fields}`);
  }
  const { system } = record;
  const hasSystem = typeof system === "string" && system.trim() !== "";
  return conversationOf([...(hasSystem ? [{ role: "system", content: system }] : []), ...asked, ...answered]);
}

/** Alpaca's input belongs to its instruction. */
function withInput(question: unknown, input: unknown): unknown {
  const hasInput = typeof question === "string" && typeof input === "string" && input.trim() !== "";
  return hasInput ? `${question}\n\n${input}` : question;
}

function conversationOf(turns: readonly unknown[]): Reading<Conversation> {
  const checked = then(readTurns(turns), (messages) => checkOrder(messages, "assistant"));
  return then(checked, (messages) => ({ value: { messages } }));
}

/** An answer: a text, or a list of turns whose last is the assistant's; what stands before it belongs to the prompt. */
function readAnswer(value: unknown): Reading<{ before: ChatMessage[]; answer: string }> {
  if (typeof value === "string") {
    return value.isWellFormed()
      ? { value: { before: [], answer: value } }
      : refuse("malformed", "an answer has half of a surrogate pair");
  }
  if (!Array.isArray(value)) return refuse("unknownForm", "an answer is neither a text nor a list of turns");
  return then(readTurns(value), (messages): Reading<{ before: ChatMessage[]; answer: string }> => {
    const last = messages.at(-1);
    if (last?.role !== "assistant") return refuse("wrongRoles", "an answer is not the assistant's");
    return { value: { before: messages.slice(0, -1), answer: last.content } };
  });
}

/** The turns before an answer: many data sets have the prompt in a field of its own and at the beginning of the answers, too. */
function withPrompt(prompt: readonly ChatMessage[], before: readonly ChatMessage[]): ChatMessage[] {
  const isRepeated = JSON.stringify(before.slice(before.length - prompt.length)) === JSON.stringify(prompt);
  return prompt.length > 0 && isRepeated ? [...before] : [...prompt, ...before];
}

/**
 * Reads one record as a preference pair: `prompt` (a text, or turns), `chosen` and `rejected` (each a text, or turns with the answer
 * at the end, which may begin with the prompt).
 */
export function readPreference(record: unknown): Reading<PreferencePair> {
  if (!isObject(record)) return refuse("malformed", "no object");
  const isMissing = (field: string) => record[field] === undefined || record[field] === null;
  if (isMissing("chosen") || isMissing("rejected")) {
    return refuse("unknownForm", `no chosen with rejected; its fields: ${shownNames(Object.keys(record))}`);
  }
  const { prompt } = record;
  const asked: Reading<ChatMessage[]> = isMissing("prompt")
    ? { value: [] }
    : typeof prompt === "string"
      ? readTurns([{ role: "user", content: prompt }])
      : Array.isArray(prompt)
        ? readTurns(prompt)
        : refuse("unknownForm", "a prompt is neither a text nor a list of turns");
  return then(asked, (before) =>
    then(readAnswer(record.chosen), (chosen) =>
      then(readAnswer(record.rejected), (rejected) => {
        if (JSON.stringify(chosen.before) !== JSON.stringify(rejected.before)) {
          return refuse("wrongRoles", "the two answers are to different prompts");
        }
        if (chosen.answer.trim() === "" || rejected.answer.trim() === "") return refuse("emptyAnswer", "an answer");
        if (chosen.answer.trim() === rejected.answer.trim()) return refuse("equalAnswers", "both answers");
        const whole = withPrompt(before, chosen.before);
        if (whole.length === 0) return refuse("unknownForm", "no prompt");
        return then(checkOrder(whole, "user"), (all) => ({
          value: { prompt: all, chosen: chosen.answer, rejected: rejected.answer },
        }));
      }),
    ),
  );
}

/** How records are read that are to be learnt from. */
export type ChatReading = {
  /** Rules that a record must keep. */
  rules: readonly ChatRule[];
  /** The field that holds the turns of a conversation, where it is none of the known ones. */
  turnField?: string | undefined;
};

export function conversationReader({ rules, turnField }: ChatReading): (record: unknown) => Reading<Conversation> {
  return (record) =>
    then(readConversation(record, turnField), (value) => brokenRule(value.messages, rules) ?? { value });
}

/** The rejected answer may break rules: that may be why it is rejected. */
export function preferenceReader({ rules }: ChatReading): (record: unknown) => Reading<PreferencePair> {
  return (record) =>
    then(readPreference(record), (value) => {
      const messages: ChatMessage[] = [...value.prompt, { role: "assistant", content: value.chosen }];
      return brokenRule(messages, rules) ?? { value };
    });
}

/** The pair that says the opposite; undefined for what is no pair. */
export function oppositeOf(value: object): PreferencePair | undefined {
  if (!("chosen" in value) || !("rejected" in value)) return undefined;
  const { prompt, chosen, rejected } = value as PreferencePair;
  return { prompt, chosen: rejected, rejected: chosen };
}
