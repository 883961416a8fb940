/** One text under way: a prompt and its answer, and which pages hold the keys and values of what has been read of it. */
import { type StreamKeys, streamKeys } from "../base/random.ts";
import { pageTokens } from "../tensor/ops/paged-attention.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { AnswerText } from "./answer.ts";
import type { GrammarText } from "./grammar.ts";
import { pageKey } from "./prefix.ts";
import type { EngineRequest, TokenLogprobs } from "./request.ts";
import { TokenCounts, type TokenMask } from "./sampling.ts";

export type TaskContents = RequestExtras & {
  prompt: Int32Array;
  /** Undefined for an embedding, which only reads. */
  request: EngineRequest | undefined;
  /** The key before the first page's. */
  rootKey: string;
  hiddenSize: number;
};

export type RequestExtras = {
  /** Answers of the same seed that there have been before: these draw other numbers. */
  firstAnswer?: number;
  /** For a request with a grammar, one an answer; the engine disposes of them from now on. */
  grammars?: readonly GrammarText[];
};

/** What the texts of one request share. */
export class Task {
  readonly id: number;
  readonly prompt: Int32Array;
  readonly request: EngineRequest | undefined;
  readonly rootKey: string;
  /** Texts under way; the first alone until the prompt has been read. */
  readonly sequences = new Set<Sequence>();
  readonly firstAnswer: number;
  readonly grammars: readonly GrammarText[];
  unfinished: number;
  isPromptRead = false;
  cachedTokens = 0;
  /** Of the prompt's tokens from `firstLogprob` on, as far as they have been read. */
  readonly promptLogprobs: TokenLogprobs[] = [];
  /** The sum of the hidden states so far. */
  readonly hiddenSum: Float64Array | undefined;

  constructor(id: number, what: TaskContents) {
    this.id = id;
    this.prompt = what.prompt;
    this.request = what.request;
    this.rootKey = what.rootKey;
    this.firstAnswer = what.firstAnswer ?? 0;
    this.grammars = what.grammars ?? [];
    this.unfinished = what.request?.count ?? 1;
    if (!what.request) this.hiddenSum = new Float64Array(what.hiddenSize);
  }

  /** The first token of the prompt whose log-probability is told: nothing predicts the very first. */
  get firstLogprob(): number {
    return Math.max(1, this.request?.promptLogprobsFrom ?? 0);
  }

  /** Tokens of the prompt that a cached prefix may stand for: what is told of the later ones asks for them to be read. */
  get mostAdopted(): number {
    const { request } = this;
    if (!request) return 0;
    if (this.isPromptRead) return Number.POSITIVE_INFINITY;
    if (request.reportExperts === true) return 0;
    return request.promptLogprobs === true ? this.firstLogprob - 1 : Number.POSITIVE_INFINITY;
  }
}

export class Sequence {
  readonly task: Task;
  /** Which of the answers. */
  readonly index: number;
  readonly keys: StreamKeys;
  readonly text: AnswerText | undefined;
  readonly counts: TokenCounts;
  readonly grammar: GrammarText | undefined;
  /** What the grammar permits next, once it is asked. */
  mask: TokenMask | undefined;
  readonly answer: number[] = [];
  /** Of prompt and answer, each holding `pageTokens` tokens. */
  readonly pages: number[] = [];
  /** Tokens whose keys and values are in the pages. */
  read = 0;
  /** Tokens whose experts have been told. */
  reported = 0;
  /** Its row of the page table; −1 while it waits. */
  slot = -1;
  /** How many that came later have been let in before it. */
  passedOver = 0;
  readonly #pageKeys: string[] = [];

  constructor(task: Task, index: number, tokenizer: Tokenizer) {
    this.task = task;
    this.index = index;
    const { request, prompt } = task;
    this.keys = streamKeys(request?.seed ?? 0, "sample", task.firstAnswer + index);
    this.text = request && new AnswerText(tokenizer, request.stopStrings);
    this.grammar = task.grammars[index];
    this.counts = new TokenCounts(prompt);
  }

  get length(): number {
    return this.task.prompt.length + this.answer.length;
  }

  /** Tokens to read before the next can be drawn. */
  get unread(): number {
    return this.length - this.read;
  }

  /** Pages that hold all its tokens. */
  get pagesNeeded(): number {
    return Math.ceil(this.length / pageTokens);
  }

  /** Whether it came before `other`. */
  isOlderThan(other: Sequence): boolean {
    return this.task.id === other.task.id ? this.index < other.index : this.task.id < other.task.id;
  }

  tokenAt(at: number): number {
    const { prompt } = this.task;
    return at < prompt.length ? prompt[at]! : this.answer[at - prompt.length]!;
  }

  /** The key of its page number `page`, all of whose tokens are known. */
  pageKey(page: number): string {
    while (this.#pageKeys.length <= page) {
      const start = this.#pageKeys.length * pageTokens;
      const tokens = Int32Array.from({ length: pageTokens }, (_, at) => this.tokenAt(start + at));
      this.#pageKeys.push(pageKey(this.#pageKeys.at(-1) ?? this.task.rootKey, tokens));
    }
    return this.#pageKeys[page]!;
  }
}
