/**
 * Continuous batching as a synchronous machine: each `step` is one forward pass over chunks of prompts and the newest token of
 * every text that answers. A text depends on its request alone, whatever else is in the batch, since a row's bits do not
 * depend on the rows beside it, and random numbers are named by seed, answer and token.
 */
import { type ErrorCode, RookeryError } from "../base/errors.ts";
import type { Transformer } from "../model/transformer.ts";
import type { Execution } from "../tensor/execution.ts";
import { gatherRows } from "../tensor/ops/dispatch.ts";
import { logits } from "../tensor/ops/linear.ts";
import { pageTokens } from "../tensor/ops/paged-attention.ts";
import type { RoutingReport } from "../tensor/ops/router.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { calibrateScales } from "./calibrate.ts";
import { checkPrompt, checkRequest } from "./check-request.ts";
import { ExpertReader } from "./expert-reader.ts";
import { promptLogprobs } from "./logprobs.ts";
import { cacheTypeOf, type EngineSettings } from "./options.ts";
import { PagePool } from "./page-pool.ts";
import { cacheBytesPerToken, PageMemory, PageTable } from "./pages.ts";
import { rootKey } from "./prefix.ts";
import type { EngineEvent, EngineInfo, EngineRequest, EngineStats, FinishReason } from "./request.ts";
import { drawableTokens, type SampledRow, sampleRows, type TokenMask } from "./sampling.ts";
import { type Chunk, Scheduler } from "./scheduler.ts";
import { type RequestExtras, Sequence, Task } from "./sequence.ts";
import { runStep } from "./step.ts";

/**
 * What generates: a model packed for the execution's compute type ("forward" is enough). Both are borrowed; the execution's
 * arena is reset after each step, so nothing else may be alive in it.
 */
export type RunnableModel = { execution: Execution; model: Transformer; tokenizer: Tokenizer };

/** What a step has to tell of a request, as plain data: something of its answers; an embedding; or why it has failed. */
export type EngineOutput = { id: number } & (
  | { type: "event"; event: EngineEvent }
  | { type: "embedding"; embedding: Float32Array }
  | { type: "failed"; code: ErrorCode; message: string; hint: string }
);

export function failedOutput(id: number, { code, message, hint }: RookeryError): EngineOutput {
  return { id, type: "failed", code, message, hint };
}

export type LogitsWatcher = (id: number, index: number, logits: Float32Array) => void;

/** An answer that gets its next token from the last hidden state of a row. */
type Draw = { sequence: Sequence; row: number; from: Sequence };

export class Engine implements Disposable {
  readonly info: EngineInfo;
  readonly #source: RunnableModel;
  readonly #settings: EngineSettings;
  readonly #pool: PagePool;
  readonly #memory: PageMemory;
  readonly #table: PageTable;
  readonly #scheduler: Scheduler;
  readonly #drawable: TokenMask;
  readonly #tasks = new Map<number, Task>();
  #watchLogits: LogitsWatcher | undefined;
  #nextId = 1;
  #weightsVersion = 0;
  #outputs: EngineOutput[] = [];
  readonly #counters = {
    steps: 0,
    promptTokens: 0,
    cachedPromptTokens: 0,
    generatedTokens: 0,
    finishedRequests: 0,
    cancelledRequests: 0,
    expertCalls: 0,
  };
  readonly #expertLoad: number[][];

  /** @throws RookeryError OUT_OF_MEMORY. */
  constructor(source: RunnableModel, settings: EngineSettings) {
    const { execution, model, tokenizer } = source;
    const { config } = model;
    this.#source = source;
    this.#settings = settings;
    model.reservePositions(Math.max(settings.maxModelLength, config.maxPositionEmbeddings));
    const cacheType = cacheTypeOf(execution.computeType, settings.keyValueCacheType);
    this.#pool = new PagePool(settings.pages);
    this.#memory = new PageMemory(config, cacheType, settings.pages);
    if (cacheType === "fp8") this.#memory.setScales(calibrateScales(source));
    this.#table = new PageTable(settings.maxBatch, Math.ceil(settings.maxModelLength / pageTokens));
    this.#scheduler = new Scheduler(this.#pool, this.#memory, this.#table, settings.prefillTokens);
    this.#drawable = drawableTokens(tokenizer, config.vocabularySize);
    this.#expertLoad = Array.from({ length: config.numHiddenLayers }, () => new Array(config.numExperts).fill(0));
    this.info = {
      maxModelLength: settings.maxModelLength,
      vocabularySize: config.vocabularySize,
      numLayers: config.numHiddenLayers,
      numExperts: config.numExperts,
      topK: config.topK,
      hiddenSize: config.hiddenSize,
      keyValueCacheType: settings.keyValueCacheType,
      keyValueBytesPerToken: cacheBytesPerToken(config, cacheType),
      pageTokens,
      pages: settings.pages,
      queueLimit: settings.queueLimit,
    };
  }

  /**
   * Takes a request in and answers with the number that its outputs will carry.
   * @throws RookeryError INVALID_OPTION for a request that can never be served, OVERLOADED when too many wait already.
   */
  add(request: EngineRequest, extras: RequestExtras = {}): number {
    this.check(request);
    const { grammars = [] } = extras;
    if (grammars.length !== (request.grammar ? request.count : 0)) {
      throw new RangeError(`${grammars.length} texts that keep to a grammar for ${request.count} answers`);
    }
    return this.#enqueue(request.prompt, request, extras);
  }

  /** @throws RookeryError INVALID_OPTION for a request that can never be served. */
  check(request: EngineRequest): void {
    checkRequest(request, this.#usableIds, this.#settings.maxModelLength);
  }

  /** The same for the mean of the last hidden states of `tokens`. */
  addEmbedding(tokens: Int32Array): number {
    checkPrompt(tokens, this.#usableIds, this.#settings.maxModelLength);
    return this.#enqueue(tokens, undefined, {});
  }

  /** Forgets a request and frees its pages; nothing more is told of it. One that has ended already is no fault. */
  cancel(id: number): void {
    const task = this.#tasks.get(id);
    if (!task) return;
    this.#forget(task);
    this.#counters.cancelledRequests++;
  }

  /** Whether something is still to come of a request. */
  has(id: number): boolean {
    return this.#tasks.has(id);
  }

  /** Tokens of a request's oldest text that have been read; 0 for one that has ended. */
  tokensRead(id: number): number {
    const [oldest] = this.#tasks.get(id)?.sequences ?? [];
    return oldest?.read ?? 0;
  }

  /** Shows the logits f32 [vocabulary] that every token is drawn from, by request and answer. */
  watchLogits(watch: LogitsWatcher): void {
    this.#watchLogits = watch;
  }

  get hasWork(): boolean {
    return this.#tasks.size > 0;
  }

  /** How often the weights have changed since the engine was made. */
  get weightsVersion(): number {
    return this.#weightsVersion;
  }

  /**
   * To be called between steps when the borrowed weights have changed (and are packed anew). Nothing that was computed with the
   * old ones is used again: texts under way keep their tokens and are read again.
   */
  weightsChanged(): void {
    this.#weightsVersion++;
    this.#scheduler.preemptAll();
    this.#pool.forgetKeys();
    if (this.#settings.keyValueCacheType === "fp8") this.#memory.setScales(calibrateScales(this.#source));
  }

  /** Bytes of the cache's native memory. */
  get cacheBytes(): number {
    return this.#memory.byteLength;
  }

  stats(): EngineStats {
    return {
      waiting: this.#scheduler.waiting.length,
      running: this.#scheduler.running.length,
      pagesInUse: this.#pool.inUse,
      pagesCached: this.#pool.kept,
      pagesFree: this.#pool.free,
      preemptions: this.#scheduler.preemptions,
      ...this.#counters,
      expertLoad: this.#expertLoad.map((load) => [...load]),
    };
  }

  /** One forward pass. Without work it does nothing. @throws RookeryError KERNEL_FAILED, OUT_OF_MEMORY: the engine is of no more use. */
  step(): EngineOutput[] {
    this.#outputs = [];
    const chunks = this.#scheduler.plan();
    if (chunks.length > 0) {
      try {
        this.#read(chunks);
      } finally {
        this.#source.execution.arena.reset();
      }
    }
    return this.#outputs;
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
    this.#table[Symbol.dispose]();
  }

  /** Ids that may stand in a prompt. */
  get #usableIds(): number {
    const { tokenizer, model } = this.#source;
    return Math.min(tokenizer.vocabularySize, model.config.vocabularySize);
  }

  #enqueue(prompt: Int32Array, request: EngineRequest | undefined, extras: RequestExtras): number {
    const { queueLimit, keyValueCacheType } = this.#settings;
    if (this.#scheduler.queued >= queueLimit) {
      throw new RookeryError(
        "OVERLOADED",
        `${this.#scheduler.waiting.length} requests wait already`,
        "try again later",
      );
    }
    const task = new Task(this.#nextId, {
      prompt,
      request,
      rootKey: rootKey(this.#weightsVersion, keyValueCacheType, request?.cacheSalt ?? ""),
      hiddenSize: this.info.hiddenSize,
      ...extras,
    });
    this.#scheduler.wait(this.#addSequence(task, 0));
    this.#tasks.set(task.id, task);
    return this.#nextId++;
  }

  #addSequence(task: Task, index: number): Sequence {
    const sequence = new Sequence(task, index, this.#source.tokenizer);
    task.sequences.add(sequence);
    return sequence;
  }

  #forget(task: Task): void {
    for (const sequence of task.sequences) this.#scheduler.remove(sequence);
    for (const grammar of task.grammars) grammar[Symbol.dispose]();
    this.#tasks.delete(task.id);
  }

  #tell(task: Task, event: EngineEvent): void {
    this.#outputs.push({ id: task.id, type: "event", event });
  }

  #read(chunks: readonly Chunk[]): void {
    const keepsProbabilities = chunks.some(({ sequence }) => sequence.task.request?.reportExperts === true);
    const { hidden, routings } = runStep(this.#source, this.#memory, this.#table, chunks, keepsProbabilities);
    this.#count(routings);
    const experts = new ExpertReader(routings);
    const draws: Draw[] = [];
    let row = 0;
    for (const chunk of chunks) {
      const { sequence, count } = chunk;
      this.#scheduler.hasRead(chunk);
      this.#tellOfRows(chunk, row, hidden, experts);
      row += count;
      if (sequence.unread === 0 && this.#tasks.has(sequence.task.id))
        draws.push(...this.#drawsAfter(sequence, row - 1));
    }
    this.#draw(draws, hidden);
  }

  #count(routings: readonly RoutingReport[]): void {
    this.#counters.steps++;
    this.#counters.expertCalls += routings.length;
    for (const [layer, { load }] of routings.entries()) {
      const total = this.#expertLoad[layer]!;
      for (const [expert, tokens] of load.toInt32Array().entries()) total[expert]! += tokens;
    }
  }

  /** What is told of, or kept from, each row that was read. */
  #tellOfRows({ sequence, start, count }: Chunk, row: number, hidden: Tensor, experts: ExpertReader): void {
    const { task } = sequence;
    const { prompt, request } = task;
    if (task.hiddenSum) addRows(task.hiddenSum, hidden.rows(row, count), start === 0);
    if (request?.reportExperts === true) {
      for (let at = Math.max(start, sequence.reported); at < start + count; at++) {
        const token = sequence.tokenAt(at);
        const event = { type: "experts", index: sequence.index, position: at, token } as const;
        this.#tell(task, { ...event, ...experts.at(row + at - start) });
      }
      sequence.reported = Math.max(sequence.reported, start + count);
    }
    if (request?.promptLogprobs !== true || task.isPromptRead) return;
    const first = Math.max(start, task.firstLogprob - 1 + task.promptLogprobs.length);
    const targets = prompt.subarray(first + 1, start + count + 1);
    if (targets.length === 0) return;
    const { execution, model } = this.#source;
    const rows = hidden.rows(row + first - start, targets.length);
    const top = request.topLogprobs ?? 0;
    try {
      task.promptLogprobs.push(...promptLogprobs(execution, rows, model.head, targets, top, this.#drawable));
    } catch (error) {
      if (!(error instanceof RookeryError && error.code === "NON_FINITE")) throw error;
      this.#fail(task, error);
    }
  }

  #fail(task: Task, error: RookeryError): void {
    this.#forget(task);
    this.#outputs.push(failedOutput(task.id, error));
  }

  /** A text has been read to its end: who takes the next token from there. */
  #drawsAfter(sequence: Sequence, row: number): Draw[] {
    const { task } = sequence;
    const { request, prompt } = task;
    if (!request) {
      this.#finishEmbedding(task);
      return [];
    }
    if (task.isPromptRead) return [{ sequence, row, from: sequence }];
    task.isPromptRead = true;
    this.#counters.promptTokens += prompt.length;
    this.#counters.cachedPromptTokens += task.cachedTokens;
    this.#tell(task, {
      type: "prompt",
      tokens: prompt.length,
      cachedTokens: task.cachedTokens,
      ...(request.promptLogprobs === true && {
        logprobs: [...new Array<null>(task.firstLogprob).fill(null), ...task.promptLogprobs],
      }),
    });
    const others = Array.from({ length: request.count - 1 }, (_, at) => this.#addSequence(task, at + 1));
    for (const other of others) other.reported = prompt.length;
    // the first comes last: the others take its pages over, which it may give back
    const all = [...others, sequence];
    if (request.maxTokens > 0 && prompt.length < this.#settings.maxModelLength) {
      return all.map((one) => ({ sequence: one, row, from: sequence }));
    }
    for (const one of all) this.#finish(one, "length", "");
    return [];
  }

  /** Whether a text has a next token: one that keeps to a grammar may be complete, or cannot be followed any more. */
  #mayGoOn(sequence: Sequence): boolean {
    const { task, grammar, text } = sequence;
    if (!this.#tasks.has(task.id)) return false;
    if (!grammar) return true;
    try {
      sequence.mask = grammar.mask();
    } catch (error) {
      if (!(error instanceof RookeryError)) throw error;
      this.#fail(task, error);
      return false;
    }
    if (!sequence.mask) this.#finish(sequence, "stop", text!.flush());
    return sequence.mask !== undefined;
  }

  #draw(all: readonly Draw[], hidden: Tensor): void {
    const draws = all.filter(({ sequence }) => this.#mayGoOn(sequence));
    if (draws.length === 0) return;
    const { execution, model } = this.#source;
    const isEveryRow = draws.length === hidden.size(0) && draws.every(({ row }, at) => row === at);
    const rows = isEveryRow
      ? hidden
      : gatherRows(execution, hidden, execution.arena.integers(Int32Array.from(draws, ({ row }) => row)));
    const requests = draws.map(({ sequence }) => ({
      settings: sequence.task.request!.sampling,
      keys: sequence.keys,
      index: sequence.answer.length,
      counts: sequence.counts,
      mask: sequence.mask,
      topLogprobs: sequence.task.request!.topLogprobs,
    }));
    const values = logits(execution, rows, model.head);
    for (const [at, { sequence }] of this.#watchLogits ? draws.entries() : []) {
      this.#watchLogits!(sequence.task.id, sequence.index, values.rows(at, 1).toFloat32Array());
    }
    const sampled = sampleRows(execution, values, requests, this.#drawable);
    for (const [at, draw] of draws.entries()) this.#accept(draw, sampled[at]!);
  }

  #accept({ sequence, from }: Draw, sampled: SampledRow): void {
    const { task, answer, text } = sequence;
    if (!this.#tasks.has(task.id)) return; // another answer of it has failed
    if (sampled.error) {
      this.#fail(task, sampled.error);
      return;
    }
    const { token, logprobs } = sampled;
    const { stopTokenIds, maxTokens } = task.request!;
    this.#counters.generatedTokens++;
    if (stopTokenIds.includes(token)) {
      this.#finish(sequence, "stop", text!.flush());
      return;
    }
    answer.push(token);
    sequence.counts.push(token);
    sequence.grammar?.accept(token);
    const pushed = text!.push(token);
    const { index } = sequence;
    this.#tell(task, { type: "token", index, token, text: pushed.text, ...(logprobs && { logprobs }) });
    if (pushed.stopped) this.#finish(sequence, "stop", "");
    else if (answer.length >= maxTokens || sequence.length >= this.#settings.maxModelLength) {
      this.#finish(sequence, "length", text!.flush());
    } else if (from !== sequence) this.#scheduler.fork(from, sequence);
  }

  #finish(sequence: Sequence, reason: FinishReason, text: string): void {
    const { task } = sequence;
    this.#scheduler.remove(sequence);
    task.sequences.delete(sequence);
    this.#tell(task, { type: "finished", index: sequence.index, reason, text });
    sequence.grammar?.[Symbol.dispose]();
    if (--task.unfinished > 0) return;
    this.#tasks.delete(task.id);
    this.#counters.finishedRequests++;
  }

  #finishEmbedding(task: Task): void {
    const { hiddenSum, prompt } = task;
    const embedding = Float32Array.from(hiddenSum!, (sum) => sum / prompt.length);
    this.#counters.promptTokens += prompt.length;
    this.#outputs.push({ id: task.id, type: "embedding", embedding });
    this.#forget(task);
    this.#counters.finishedRequests++;
  }
}

/** Adds the rows of a tensor [rows, columns], in order, to sums that start at zero if `isFirst`. */
function addRows(sums: Float64Array, rows: Tensor, isFirst: boolean): void {
  if (isFirst) sums.fill(0);
  const values = rows.toFloat32Array();
  for (let at = 0; at < values.length; at++) sums[at % sums.length]! += values[at]!;
}
