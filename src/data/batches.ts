/** The endless stream of training batches: which document comes next, and where to go on after a resume. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { RookeryError } from "../base/errors.ts";
import { shuffled, streamKeys } from "../base/random.ts";
import { type PackedBatch, type Piece, packBatch, type TokenSource } from "./packing.ts";

export const dataPositionFormat = "rookery-data-position/1";

const count = z.int().min(0);
const cutSchema = z.strictObject({ source: count, document: count, offset: count }).nullable();
const positionSchema = z.strictObject({
  format: z.literal(dataPositionFormat),
  /** Names the shards and the seed: a position means nothing without them. */
  fingerprint: z.string(),
  batches: count,
  tokens: count,
  weights: z.array(z.number().min(0)),
  sources: z.array(z.strictObject({ name: z.string(), epoch: count, next: count, taken: count })),
  /** Of each row the document that its end has cut, if any: source and document by number, tokens already used. */
  current: z.array(cutSchema),
  /** The same of documents that wait behind a long one; only in streams that keep long documents whole. */
  waiting: z.array(cutSchema).optional(),
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
  /** Long documents get a share of their own and are kept whole; by default documents are not told apart. */
  long?: LongDocuments | undefined;
};

/** Documents of at least `tokens` tokens make `share` of the tokens. A source's weight goes to both sides as its tokens lie on them. */
export type LongDocuments = { share: number; tokens: number };

type SourceState = TokenSource & {
  isLong: boolean;
  /** Its documents by number; null for all of the shard. */
  documents: Uint32Array | null;
  count: number;
  tokens: number;
  weight: number;
  epoch: number;
  /** How many documents of this epoch have been handed out. */
  next: number;
  /** Tokens handed out since the mixture was set. */
  taken: number;
  order: Uint32Array | null;
};

type CutDocument = Piece & { source: number; document: number; first: number };

/** The documents of a source on both sides of a length. */
function byLength({ name, shard }: TokenSource, tokens: number): Omit<SourceState, keyof typeof fresh>[] {
  const sides = [false, true].map((isLong) => ({ isLong, documents: [] as number[], tokens: 0 }));
  for (let document = 0; document < shard.documents; document++) {
    const { start, end } = shard.bounds(document);
    const side = sides[end - start >= tokens ? 1 : 0]!;
    side.documents.push(document);
    side.tokens += end - start;
  }
  return sides.map(({ isLong, documents, tokens }) => {
    return { name, shard, isLong, tokens, documents: Uint32Array.from(documents), count: documents.length };
  });
}

const fresh = { weight: 0, epoch: 0, next: 0, taken: 0, order: null };

/**
 * Endless packed batches from tokenised sources. Each row of a batch goes on with a document of its own, from batch to batch
 * until it ends, so that a batch holds as many different documents as it has rows: consecutive parts of one document have
 * too much in common to make a good gradient. Within an epoch of a source each of its documents comes exactly once,
 * in an order that (seed, source, epoch) fixes. The next document is taken from the source that is furthest behind its
 * share of the mixture, so that shares hold over any stretch and not only on average. Everything is synchronous, and
 * `position()` with the same shards and seed reproduces the batches that follow, bit for bit.
 *
 * With `long`, a long document that fits in a row is never cut: it begins a row, before the rest of a normal document that the
 * row's end has cut, or stands where there is room for all of it. What is left of a row is filled with normal documents.
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
  /** Of each row the normal document that a long one has gone before. */
  readonly #waiting: (CutDocument | null)[];
  readonly #long: LongDocuments | undefined;

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
    this.#waiting = [...this.#current];
    const { long } = options;
    this.#long = long;
    this.#sources = options.sources.flatMap((source): SourceState[] => {
      if (long) return byLength(source, long.tokens).map((side) => ({ ...fresh, ...side }));
      const { documents: count, tokens } = source.shard;
      return [{ ...fresh, ...source, isLong: false, documents: null, count, tokens }];
    });
    if (!this.#sources.some((source) => source.tokens > 0)) {
      throw new RookeryError(
        "BAD_DATA",
        "there is nothing to train on: no document is left",
        "check the data and the filters",
      );
    }
    this.#weigh(({ shard }) => shard.tokens);
    const identity = [this.#seed, ...options.sources.map(({ name, shard }) => [name, shard.header.sha256])];
    if (long) identity.push(["long", String(long.share), String(long.tokens)]);
    this.#fingerprint = createHash("sha256").update(JSON.stringify(identity)).digest("hex");
    if (options.mixture) this.setMixture(options.mixture);
    if (options.position) this.#restore(options.position);
  }

  /** Packs the next batch. */
  next(): PackedBatch {
    const batch = packBatch(this.rows, this.sequenceLength, (row, room) => this.#piece(row, room), 0);
    this.#batches++;
    this.#tokens += this.rows * this.sequenceLength;
    return batch;
  }

  /**
   * Changes the shares of the sources from the next document on (annealing on the best data). The shares in force
   * are part of the position; setting the same again changes nothing.
   */
  setMixture(mixture: Readonly<Record<string, number>>): void {
    const names = [...new Set(this.#sources.map((source) => source.name))];
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
    this.#weigh(({ name }) => (Object.hasOwn(mixture, name) ? mixture[name]! : 0));
  }

  /** Sets the shares from a weight of each source; one that has long and normal documents gives to both halves in proportion. */
  #weigh(weightOf: (source: SourceState) => number): void {
    const long = this.#long;
    const shareOf = ({ tokens, shard }: SourceState) => (long && shard.tokens > 0 ? tokens / shard.tokens : 1);
    const asked = this.#sources.map((source) => weightOf(source) * shareOf(source));
    if (this.#sources.every(({ tokens }, i) => tokens === 0 || asked[i] === 0)) {
      throw new RookeryError(
        "INVALID_OPTION",
        "the mixture leaves nothing to train on",
        "give a weight above 0 to a source",
      );
    }
    const weights = long ? this.#halves(asked, long) : asked;
    if (this.#sources.every((source, i) => source.weight === weights[i])) return;
    this.#sources.forEach((source, i) => {
      source.weight = weights[i]!;
      source.taken = 0;
    });
  }

  /** Weights of which those of long documents sum to their share, and the others, if there are any, to the rest. */
  #halves(weights: readonly number[], { share, tokens }: LongDocuments): number[] {
    const sum = (isLong: boolean) =>
      this.#sources.reduce((total, one, i) => total + (one.isLong === isLong && one.tokens > 0 ? weights[i]! : 0), 0);
    const [normal, long] = [sum(false), sum(true)];
    if (long === 0 && share > 0) {
      throw new RookeryError(
        "BAD_DATA",
        `no document of ${tokens} tokens or more is in the sources with a weight`,
        "lower longTokens, raise maxDocumentCharacters, or set longShare 0",
      );
    }
    return weights.map((weight, i) => {
      const [total, part] = this.#sources[i]!.isLong ? [long, share] : [normal, 1 - share];
      return total > 0 ? (weight / total) * part : 0;
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
      current: this.#current.map(cutPosition),
      ...(this.#long && { waiting: this.#waiting.map(cutPosition) }),
    };
  }

  #piece(row: number, room: number): Piece {
    let current = this.#current[row] ?? null;
    if (hasRest(current)) {
      const due = room === this.sequenceLength && !this.#sources[current.source]!.isLong ? this.#furthestBehind() : -1;
      if (due === -1 || !this.#sources[due]!.isLong) return current;
      this.#waiting[row] = current;
      current = this.#take(due);
    } else {
      current = this.#waiting[row] ?? null;
      this.#waiting[row] = null;
    }
    while (!hasRest(current)) current = this.#nextDocument(room);
    this.#current[row] = current;
    return current;
  }

  /** The next document where `room` tokens of a row are free: a long one that does not fit waits for a row of its own. */
  #nextDocument(room: number): CutDocument {
    const chosen = this.#furthestBehind();
    if (!this.#sources[chosen]!.isLong || room === this.sequenceLength) return this.#take(chosen);
    const { start, end } = this.#sources[chosen]!.shard.bounds(this.#upcoming(chosen));
    if (end - start <= room) return this.#take(chosen);
    const normal = this.#furthestBehind(false);
    return this.#take(normal === -1 ? chosen : normal);
  }

  /** The source with the least progress for its weight, or −1; with `isLong`, among those on that side. */
  #furthestBehind(isLong?: boolean): number {
    let chosen = -1;
    let least = Number.POSITIVE_INFINITY;
    this.#sources.forEach((source, i) => {
      if (source.weight === 0 || source.tokens === 0 || (isLong ?? source.isLong) !== source.isLong) return;
      const progress = source.taken / source.weight;
      if (progress < least) {
        least = progress;
        chosen = i;
      }
    });
    return chosen;
  }

  /** The number, within its shard, of the document that a source hands out next. */
  #upcoming(chosen: number): number {
    const source = this.#sources[chosen]!;
    if (source.next >= source.count) {
      source.epoch++;
      source.next = 0;
      source.order = null;
    }
    // streams of long documents get an order of their own, and the others keep theirs
    const kind = source.isLong ? ["long"] : [];
    source.order ??= shuffled(source.count, streamKeys(this.#seed, "documents", source.name, source.epoch, ...kind));
    const index = source.order[source.next]!;
    return source.documents ? source.documents[index]! : index;
  }

  #take(chosen: number): CutDocument {
    const source = this.#sources[chosen]!;
    const document = this.#upcoming(chosen);
    source.next++;
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
    const { sources, weights, current, waiting } = position;
    if (sources.length !== this.#sources.length || weights.length !== sources.length) throw impossible;
    this.#sources.forEach((source, i) => {
      const { epoch, next, taken } = sources[i]!;
      if (next > source.count) throw impossible;
      Object.assign(source, { epoch, next, taken, weight: weights[i]!, order: null });
    });
    if (!this.#sources.some((source) => source.weight > 0 && source.tokens > 0)) throw impossible;
    this.#batches = position.batches;
    this.#tokens = position.tokens;
    if ((waiting !== undefined) !== (this.#long !== undefined)) throw impossible;
    for (const [cuts, into] of [
      [current, this.#current],
      [waiting ?? current.map(() => null), this.#waiting],
    ] as const) {
      if (cuts.length !== this.rows) throw impossible;
      cuts.forEach((cut, row) => {
        into[row] = null;
        if (!cut) return;
        const shard = this.#sources[cut.source]?.shard;
        if (!shard || cut.document >= shard.documents) throw impossible;
        const { start, end } = shard.bounds(cut.document);
        if (start + cut.offset >= end) throw impossible;
        into[row] = { shard, ...cut, first: start, start: start + cut.offset, end };
      });
    }
  }
}

function hasRest(cut: CutDocument | null): cut is CutDocument {
  return cut !== null && cut.start < cut.end;
}

function cutPosition(cut: CutDocument | null) {
  return hasRest(cut) ? { source: cut.source, document: cut.document, offset: cut.start - cut.first } : null;
}
