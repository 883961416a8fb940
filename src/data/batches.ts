/** The endless stream of training batches: which document comes next, and where to go on after a resume. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { shuffled, streamKeys } from "../base/random.ts";
import { type PackedBatch, type Piece, packBatch, type TokenSource } from "./packing.ts";

export const dataPositionFormat = "rookery-data-position/1";

const count = z.int().min(0);
const positionSchema = z.strictObject({
  format: z.literal(dataPositionFormat),
  /** Names the shards and the seed: a position means nothing without them. */
  fingerprint: z.string(),
  batches: count,
  tokens: count,
  weights: z.array(z.number().min(0)),
  sources: z.array(z.strictObject({ name: z.string(), epoch: count, next: count, taken: count })),
  /** Of each row the document that its end has cut, if any: source and document by number, tokens already used. */
  current: z.array(z.strictObject({ source: count, document: count, offset: count }).nullable()),
});

/** Where a `BatchStream` stands, between two batches. Plain JSON. */
export type DataPosition = z.infer<typeof positionSchema>;

export type BatchStreamOptions = {
  sources: readonly TokenSource[];
  rows: number;
  sequenceLength: number;
  seed: number;
  /** Share of each source in the tokens, by name (0 for those not named); by default each source's size. */
  mixture?: Readonly<Record<string, number>> | undefined;
  /** Go on after this point; it brings its own mixture. */
  position?: DataPosition | undefined;
};

type SourceState = TokenSource & {
  weight: number;
  epoch: number;
  /** How many documents of this epoch have been handed out. */
  next: number;
  /** Tokens handed out since the mixture was set. */
  taken: number;
  order: Uint32Array | null;
};

type CutDocument = Piece & { source: number; document: number; first: number };

/**
 * Endless packed batches from tokenised sources. Each row of a batch goes on with a document of its own, from batch to batch
 * until it ends, so that a batch holds as many different documents as it has rows: consecutive parts of one document have
 * too much in common to make a good gradient. Within an epoch of a source each of its documents comes exactly once,
 * in an order that (seed, source, epoch) fixes. The next document is taken from the source that is furthest behind its
 * share of the mixture, so that shares hold over any stretch and not only on average. Everything is synchronous, and
 * `position()` with the same shards and seed reproduces the batches that follow, bit for bit.
 */
export class BatchStream {
  readonly rows: number;
  readonly sequenceLength: number;
  readonly #seed: number;
  readonly #sources: SourceState[];
  readonly #fingerprint: string;
  #batches = 0;
  #tokens = 0;
  readonly #current: (CutDocument | null)[];

  /** Throws BAD_DATA when no source has tokens, INVALID_OPTION on sizes, a mixture or a position that cannot be used. */
  constructor(options: BatchStreamOptions) {
    for (const [name, value] of [
      ["rows", options.rows] as const,
      ["sequenceLength", options.sequenceLength] as const,
    ]) {
      if (!(Number.isInteger(value) && value >= 1 && value <= 2 ** 24)) {
        throw new RookeryError("INVALID_OPTION", `${name} is ${value}`, "give a whole number of at least 1");
      }
    }
    this.rows = options.rows;
    this.sequenceLength = options.sequenceLength;
    this.#seed = options.seed;
    this.#current = new Array<CutDocument | null>(options.rows).fill(null);
    this.#sources = options.sources.map((source) => {
      return { ...source, weight: source.shard.tokens, epoch: 0, next: 0, taken: 0, order: null };
    });
    if (!this.#sources.some((source) => source.shard.tokens > 0)) {
      throw new RookeryError(
        "BAD_DATA",
        "there is nothing to train on: no document is left",
        "check the data and the filters",
      );
    }
    const identity = [this.#seed, ...this.#sources.map(({ name, shard }) => [name, shard.header.sha256])];
    this.#fingerprint = createHash("sha256").update(JSON.stringify(identity)).digest("hex");
    if (options.mixture) this.setMixture(options.mixture);
    if (options.position) this.#restore(options.position);
  }

  /** Packs the next batch. */
  next(): PackedBatch {
    const batch = packBatch(this.rows, this.sequenceLength, (row) => this.#piece(row), 0);
    this.#batches++;
    this.#tokens += this.rows * this.sequenceLength;
    return batch;
  }

  /**
   * Changes the shares of the sources from the next document on (annealing on the best data). The shares in force
   * are part of the position; setting the same again changes nothing.
   */
  setMixture(mixture: Readonly<Record<string, number>>): void {
    const names = this.#sources.map((source) => source.name);
    for (const [name, weight] of Object.entries(mixture)) {
      if (!names.includes(name)) {
        throw new RookeryError(
          "INVALID_OPTION",
          `the mixture names "${name}", which is no source`,
          `sources: ${names.join(", ")}`,
        );
      }
      if (!(Number.isFinite(weight) && weight >= 0)) {
        throw new RookeryError("INVALID_OPTION", `the weight of "${name}" is ${weight}`, "give a number of at least 0");
      }
    }
    const weights = names.map((name) => (Object.hasOwn(mixture, name) ? mixture[name]! : 0));
    if (!this.#sources.some((source, i) => source.shard.tokens > 0 && weights[i]! > 0)) {
      throw new RookeryError(
        "INVALID_OPTION",
        "the mixture leaves nothing to train on",
        "give a weight above 0 to a source",
      );
    }
    if (this.#sources.every((source, i) => source.weight === weights[i])) return;
    this.#sources.forEach((source, i) => {
      source.weight = weights[i]!;
      source.taken = 0;
    });
  }

  /** Where the stream stands, between the last batch and the next. */
  position(): DataPosition {
    return {
      format: dataPositionFormat,
      fingerprint: this.#fingerprint,
      batches: this.#batches,
      tokens: this.#tokens,
      weights: this.#sources.map((source) => source.weight),
      sources: this.#sources.map(({ name, epoch, next, taken }) => ({ name, epoch, next, taken })),
      current: this.#current.map((cut) =>
        cut && cut.start < cut.end
          ? { source: cut.source, document: cut.document, offset: cut.start - cut.first }
          : null,
      ),
    };
  }

  #piece(row: number): Piece {
    let current = this.#current[row] ?? null;
    while (current === null || current.start >= current.end) current = this.#nextDocument();
    this.#current[row] = current;
    return current;
  }

  #nextDocument(): CutDocument {
    let chosen = -1;
    let least = Number.POSITIVE_INFINITY;
    this.#sources.forEach((source, i) => {
      if (source.weight === 0 || source.shard.tokens === 0) return;
      const progress = source.taken / source.weight;
      if (progress < least) {
        least = progress;
        chosen = i;
      }
    });
    const source = this.#sources[chosen]!;
    if (source.next >= source.shard.documents) {
      source.epoch++;
      source.next = 0;
      source.order = null;
    }
    source.order ??= shuffled(source.shard.documents, streamKeys(this.#seed, "documents", source.name, source.epoch));
    const document = source.order[source.next++]!;
    const { start, end } = source.shard.bounds(document);
    source.taken += end - start;
    return { shard: source.shard, source: chosen, document, first: start, start, end };
  }

  #restore(input: DataPosition): void {
    const hint = "resume with the data, the tokenizer and the seed that the run began with";
    const parsed = positionSchema.safeParse(input);
    if (!parsed.success) {
      const where = parsed.error.issues[0]?.path.join(".") ?? "";
      throw new RookeryError("INVALID_OPTION", `the data position is damaged at "${where}"`, hint);
    }
    const position = parsed.data;
    if (position.fingerprint !== this.#fingerprint) {
      throw new RookeryError("INVALID_OPTION", "the data position belongs to other data or to another seed", hint);
    }
    const impossible = new RookeryError("INVALID_OPTION", "the data position does not fit the data", hint);
    const { sources, weights, current } = position;
    if (sources.length !== this.#sources.length || weights.length !== sources.length) throw impossible;
    this.#sources.forEach((source, i) => {
      const { epoch, next, taken } = sources[i]!;
      if (next > source.shard.documents) throw impossible;
      Object.assign(source, { epoch, next, taken, weight: weights[i]!, order: null });
    });
    if (!this.#sources.some((source) => source.weight > 0 && source.shard.tokens > 0)) throw impossible;
    this.#batches = position.batches;
    this.#tokens = position.tokens;
    if (current.length !== this.rows) throw impossible;
    current.forEach((cut, row) => {
      const shard = cut && this.#sources[cut.source]?.shard;
      if (!cut) return;
      if (!shard || cut.document >= shard.documents) throw impossible;
      const { start, end } = shard.bounds(cut.document);
      if (start + cut.offset >= end) throw impossible;
      this.#current[row] = { shard, ...cut, first: start, start: start + cut.offset, end };
    });
  }
}
