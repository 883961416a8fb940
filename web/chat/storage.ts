/** Conversations in the browser's IndexedDB: one record each; documents and expert records lie beside, as they are large. */
import { type Conversation, limits, type TokenExperts } from "./conversation.ts";

const databaseName = "rookery";
const version = 1;

function result<Value>(request: IDBRequest<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function completion(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
    transaction.onerror = () => reject(transaction.error);
  });
}

const documentKey = (conversationId: string) => `${conversationId}/document`;
const expertsKey = (conversationId: string, messageId: string) => `${conversationId}/experts/${messageId}`;
const everythingOf = (conversationId: string) => IDBKeyRange.bound(`${conversationId}/`, `${conversationId}/\uffff`);

export class Storage {
  readonly #database: IDBDatabase;

  private constructor(database: IDBDatabase) {
    this.#database = database;
  }

  /** @throws when the browser keeps nothing (some private windows). */
  static async open(): Promise<Storage> {
    const request = indexedDB.open(databaseName, version);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("conversations", { keyPath: "id" });
      request.result.createObjectStore("attachments");
    };
    return new Storage(await result(request));
  }

  /** The newest first; those beyond the limit are removed. */
  async conversations(): Promise<Conversation[]> {
    const all = await result<Conversation[]>(
      this.#database.transaction("conversations").objectStore("conversations").getAll(),
    );
    all.sort((a, b) => b.updatedAtMs - a.updatedAtMs);
    for (const { id } of all.slice(limits.conversations)) await this.remove(id);
    return all.slice(0, limits.conversations);
  }

  async save(conversation: Conversation): Promise<void> {
    const transaction = this.#database.transaction("conversations", "readwrite");
    transaction.objectStore("conversations").put(conversation);
    await completion(transaction);
  }

  async remove(conversationId: string): Promise<void> {
    const transaction = this.#database.transaction(["conversations", "attachments"], "readwrite");
    transaction.objectStore("conversations").delete(conversationId);
    transaction.objectStore("attachments").delete(everythingOf(conversationId));
    await completion(transaction);
  }

  async document(conversationId: string): Promise<string | undefined> {
    return this.#attachment<string>(documentKey(conversationId));
  }

  /** Undefined removes it. */
  async saveDocument(conversationId: string, text: string | undefined): Promise<void> {
    await this.#saveAttachment(documentKey(conversationId), text);
  }

  async experts(conversationId: string, messageId: string): Promise<TokenExperts[] | undefined> {
    return this.#attachment<TokenExperts[]>(expertsKey(conversationId, messageId));
  }

  async saveExperts(conversationId: string, messageId: string, tokens: TokenExperts[] | undefined): Promise<void> {
    await this.#saveAttachment(expertsKey(conversationId, messageId), tokens);
  }

  async #attachment<Value>(key: string): Promise<Value | undefined> {
    return result<Value | undefined>(this.#database.transaction("attachments").objectStore("attachments").get(key));
  }

  async #saveAttachment(key: string, value: unknown): Promise<void> {
    const transaction = this.#database.transaction("attachments", "readwrite");
    const store = transaction.objectStore("attachments");
    if (value === undefined) store.delete(key);
    else store.put(value, key);
    await completion(transaction);
  }
}
