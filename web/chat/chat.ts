/** The conversations and what happens to them: everything of the page that is not drawing. */
import { ServerError } from "../shared/server.ts";
import { askModel, countTokens, streamAnswer } from "./answer.ts";
import {
  type AnswerFacts,
  type Conversation,
  type Ending,
  limits,
  type Message,
  newConversation,
  newId,
  type TokenExperts,
  toWire,
} from "./conversation.ts";
import { readDocument } from "./document.ts";
import { Storage } from "./storage.ts";

export type ServerState =
  | { kind: "asking" }
  | { kind: "ready"; model: string; maxTokens: number | undefined; experts: number | undefined }
  | { kind: "locked"; wasKeyWrong: boolean }
  | { kind: "unreachable"; message: string };

/** An answer on its way. */
export type Stream = {
  messageId: string;
  abort: AbortController;
  /** `performance.now()` when it was asked for. */
  startedAtMs: number;
  experts: TokenExperts[];
};

export class Chat {
  /** The newest first. */
  conversations: Conversation[] = [];
  current: Conversation = newConversation();
  server: ServerState = { kind: "asking" };
  /** By conversation. */
  readonly streams = new Map<string, Stream>();
  /** Said once to everybody, and to a screen reader. */
  announcement = "";
  /** A mishap that belongs to no message. */
  notice: string | undefined;
  /** What is being read of a file that was dropped. */
  reading: string | undefined;
  isLoaded = false;

  #storage: Storage | undefined;
  #documentTexts = new Map<string, string>();
  #listeners = new Set<() => void>();
  #frame: number | undefined;

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Tells listeners at the next frame, however many tokens came in between. */
  #changed(): void {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      for (const listener of this.#listeners) listener();
    });
  }

  async start(): Promise<void> {
    void this.connect();
    try {
      this.#storage = await Storage.open();
      this.conversations = await this.#storage.conversations();
    } catch {
      this.notice = "This browser keeps no data for this page, so conversations are lost when it closes.";
    }
    const wanted = this.conversations.find(({ id }) => `#${id}` === location.hash);
    if (wanted !== undefined) await this.open(wanted.id);
    this.isLoaded = true;
    this.#changed();
  }

  async connect(): Promise<void> {
    const wasLocked = this.server.kind === "locked";
    try {
      const { id, maxTokens, experts } = await askModel();
      this.server = { kind: "ready", model: id, maxTokens, experts };
    } catch (error) {
      if (error instanceof ServerError && error.status === 401)
        this.server = { kind: "locked", wasKeyWrong: wasLocked };
      else this.server = { kind: "unreachable", message: (error as Error).message };
    }
    this.#changed();
  }

  /** The reader has no key at hand. */
  leaveLocked(): void {
    if (this.server.kind === "locked") {
      this.server = { kind: "unreachable", message: "The server asks for an API key." };
    }
    this.#changed();
  }

  /** An empty conversation with the settings of the last one. */
  create(): void {
    const { systemPrompt, sampling, recordsExperts } = this.current;
    this.#show({ ...newConversation(), systemPrompt, sampling, recordsExperts });
  }

  async open(id: string): Promise<void> {
    const conversation = this.conversations.find((one) => one.id === id);
    if (conversation === undefined) return;
    if (conversation.document !== undefined && !this.#documentTexts.has(id)) {
      const text = await this.#storage?.document(id);
      if (text === undefined) delete conversation.document;
      else this.#documentTexts.set(id, text);
    }
    this.#show(conversation);
  }

  #show(conversation: Conversation): void {
    this.current = conversation;
    this.notice = undefined;
    history.replaceState(null, "", conversation.messages.length > 0 ? `#${conversation.id}` : location.pathname);
    this.#changed();
  }

  async remove(id: string): Promise<void> {
    this.stop(id);
    this.conversations = this.conversations.filter((one) => one.id !== id);
    this.#documentTexts.delete(id);
    if (this.current.id === id) this.create();
    this.announcement = "Conversation deleted.";
    this.#changed();
    await this.#storage?.remove(id);
  }

  /** Changes the current conversation, and keeps it once something was said or dropped in it. */
  update(change: Partial<Conversation>): void {
    Object.assign(this.current, change);
    if (this.#isKept(this.current)) void this.#save(this.current);
    this.#changed();
  }

  dismissNotice(): void {
    this.notice = undefined;
    this.#changed();
  }

  /** Puts a file in front of the conversation, or of a new one when something has been said already. */
  async addDocument(file: File): Promise<void> {
    this.notice = undefined;
    this.reading = file.name;
    this.#changed();
    try {
      const { name, text } = await readDocument(file, (what) => {
        this.reading = `${file.name}, ${what}`;
        this.#changed();
      });
      if (this.current.messages.length > 0) this.create();
      const { current } = this;
      // What is recorded is read anew each time, and the document is to be read once.
      current.recordsExperts = false;
      this.#documentTexts.set(current.id, text);
      const tokens = await countTokens(text);
      current.document = { name, characters: text.length, ...(tokens === undefined ? {} : { tokens }) };
      await this.#keeping(this.#storage?.saveDocument(current.id, text));
      await this.#save(current);
      this.announcement = `${name} stands in front of this conversation.`;
      const room = this.server.kind === "ready" ? this.server.maxTokens : undefined;
      if (tokens !== undefined && room !== undefined && tokens >= room) {
        this.notice = `${name} has ${tokens.toLocaleString()} tokens, and the model reads ${room.toLocaleString()} at most.`;
      }
    } catch (error) {
      this.notice = (error as Error).message;
    }
    this.reading = undefined;
    this.#changed();
  }

  async removeDocument(): Promise<void> {
    const { current } = this;
    delete current.document;
    this.#documentTexts.delete(current.id);
    this.announcement = "The document is gone from this conversation.";
    this.#changed();
    await this.#storage?.saveDocument(current.id, undefined);
    if (this.#isKept(current)) await this.#save(current);
  }

  /** Asks something. */
  send(content: string): void {
    if (this.streams.has(this.current.id)) return;
    this.current.messages.push({ id: newId(), role: "user", content: content.slice(0, limits.messageCharacters) });
    void this.#answer(this.current, this.#newAnswer(this.current));
  }

  /** Says something else in place of a question; what came after it is forgotten. */
  edit(messageId: string, content: string): void {
    const { current } = this;
    const index = current.messages.findIndex(({ id }) => id === messageId);
    if (index < 0 || this.streams.has(current.id)) return;
    this.#forgetFrom(current, index);
    this.send(content);
  }

  /** Answers anew; what came after that answer is forgotten. */
  regenerate(messageId: string): void {
    const { current } = this;
    const index = current.messages.findIndex(({ id }) => id === messageId);
    if (index < 0 || this.streams.has(current.id)) return;
    this.#forgetFrom(current, index);
    void this.#answer(current, this.#newAnswer(current));
  }

  /** Goes on with the last answer, which was stopped or reached its length. */
  continueAnswer(): void {
    const message = this.current.messages.at(-1);
    if (message?.role !== "assistant" || this.streams.has(this.current.id)) return;
    void this.#answer(this.current, message);
  }

  stop(conversationId = this.current.id): void {
    this.streams.get(conversationId)?.abort.abort();
  }

  async experts(messageId: string): Promise<TokenExperts[]> {
    const stream = this.streams.get(this.current.id);
    if (stream?.messageId === messageId) return stream.experts;
    return (await this.#storage?.experts(this.current.id, messageId)) ?? [];
  }

  #newAnswer(conversation: Conversation): Message {
    const message: Message = { id: newId(), role: "assistant", content: "" };
    conversation.messages.push(message);
    return message;
  }

  #forgetFrom(conversation: Conversation, index: number): void {
    for (const { id, hasExperts } of conversation.messages.splice(index)) {
      if (hasExperts) void this.#storage?.saveExperts(conversation.id, id, undefined);
    }
  }

  async #answer(conversation: Conversation, message: Message): Promise<void> {
    const stream: Stream = {
      messageId: message.id,
      abort: new AbortController(),
      startedAtMs: performance.now(),
      experts: [],
    };
    this.streams.set(conversation.id, stream);
    delete message.ending;
    message.facts = {};
    conversation.updatedAtMs = Date.now();
    if (!this.conversations.includes(conversation)) this.conversations.unshift(conversation);
    this.conversations.sort((a, b) => b.updatedAtMs - a.updatedAtMs);
    if (this.current === conversation) history.replaceState(null, "", `#${conversation.id}`);
    this.announcement = "Answering.";
    this.#changed();
    await this.#save(conversation);
    try {
      await this.#receive(conversation, message, stream);
    } catch (error) {
      if (stream.abort.signal.aborted) message.ending = { kind: "cancelled" };
      else message.ending = this.#endingOf(error);
    }
    this.streams.delete(conversation.id);
    this.announcement =
      message.ending?.kind === "error" ? message.ending.message : `Answer: ${message.content.slice(0, 2000)}`;
    this.#changed();
    if (stream.experts.length > 0) {
      message.hasExperts = true;
      await this.#keeping(this.#storage?.saveExperts(conversation.id, message.id, stream.experts));
    }
    await this.#save(conversation);
  }

  async #receive(conversation: Conversation, message: Message, stream: Stream): Promise<void> {
    const history = conversation.messages.slice(0, conversation.messages.indexOf(message) + 1);
    if (this.server.kind !== "ready") await this.connect();
    const request = {
      model: this.server.kind === "ready" ? this.server.model : "default",
      messages: toWire(conversation, this.#documentTexts.get(conversation.id), history),
      sampling: conversation.sampling,
      reportExperts: conversation.recordsExperts,
    };
    const pace = new Pace(stream.startedAtMs);
    for await (const event of streamAnswer(request, stream.abort.signal)) {
      if (event.type === "text") {
        message.content += event.text;
        pace.token();
      } else if (event.type === "experts") {
        // of a long prompt its end, which the answer follows
        stream.experts.push(...event.tokens);
        stream.experts.splice(0, stream.experts.length - limits.recordedTokens);
      } else if (event.type === "usage") {
        const { promptTokens, cachedTokens, answerTokens } = event;
        message.facts = { ...message.facts, promptTokens, cachedTokens, answerTokens };
        pace.tokens = answerTokens;
      } else {
        message.ending = { kind: event.reason };
      }
      message.facts = { ...message.facts, ...pace.facts() };
      this.#changed();
    }
    message.ending ??= { kind: "stop" };
  }

  #endingOf(error: unknown): Ending {
    if (!(error instanceof ServerError))
      return { kind: "error", message: `The page failed: ${(error as Error).message}` };
    if (error.status === 401) this.server = { kind: "locked", wasKeyWrong: false };
    const { message, retryAfterSeconds } = error;
    return { kind: "error", message, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) };
  }

  #isKept(conversation: Conversation): boolean {
    return conversation.messages.length > 0 || conversation.document !== undefined;
  }

  async #save(conversation: Conversation): Promise<void> {
    if (!this.conversations.includes(conversation)) this.conversations.unshift(conversation);
    await this.#keeping(this.#storage?.save(conversation));
  }

  /** Storage that is full must not stop a conversation. */
  async #keeping(work: Promise<void> | undefined): Promise<void> {
    try {
      await work;
    } catch {
      this.notice = "The browser's storage for this page is full: delete conversations to have new ones kept.";
      this.#changed();
    }
  }
}

/** Time to the first token, and tokens a second after it. */
class Pace {
  /** As the server counts them; until it does, pieces of text are counted. */
  tokens: number | undefined;
  readonly #startedAtMs: number;
  #firstAtMs: number | undefined;
  #lastAtMs = 0;
  #pieces = 0;

  constructor(startedAtMs: number) {
    this.#startedAtMs = startedAtMs;
  }

  token(): void {
    this.#lastAtMs = performance.now();
    this.#firstAtMs ??= this.#lastAtMs;
    this.#pieces++;
  }

  facts(): AnswerFacts {
    if (this.#firstAtMs === undefined) return {};
    const seconds = (this.#lastAtMs - this.#firstAtMs) / 1000;
    const tokens = (this.tokens ?? this.#pieces) - 1;
    return {
      firstTokenMs: this.#firstAtMs - this.#startedAtMs,
      ...(seconds > 0 && tokens > 0 ? { tokensPerSecond: tokens / seconds } : {}),
    };
  }
}
