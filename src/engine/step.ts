/** The forward pass of one step: chunks of several texts, one behind the other, their keys and values in pages. */
import { type Attend, attentionShape } from "../model/attention.ts";
import type { ModelConfig } from "../model/config.ts";
import { dropless } from "../model/router.ts";
import type { Transformer } from "../model/transformer.ts";
import type { Execution } from "../tensor/execution.ts";
import { pagedAttention, pageTokens, writePages } from "../tensor/ops/paged-attention.ts";
import type { RoutingReport } from "../tensor/ops/router.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { PageMemory, PageTable } from "./pages.ts";
import type { Chunk } from "./scheduler.ts";

/** Attention of a step's rows to the pages of their texts, after their own keys and values have been written there. */
class PagedAttention implements Attend {
  readonly #execution: Execution;
  readonly #config: ModelConfig;
  readonly #memory: PageMemory;
  readonly #table: PageTable;
  readonly #places: Tensor;
  readonly #sequences: Tensor;

  /** @param places int32 [rows]: rows of the cache. @param sequences int32 [chunks, 4], as `pagedAttention` takes them. */
  constructor(
    execution: Execution,
    config: ModelConfig,
    memory: PageMemory,
    table: PageTable,
    places: Tensor,
    sequences: Tensor,
  ) {
    this.#execution = execution;
    this.#config = config;
    this.#memory = memory;
    this.#table = table;
    this.#places = places;
    this.#sequences = sequences;
  }

  store(group: number, key: Tensor, value: Tensor): void {
    writePages(this.#execution, key, value, this.#places, this.#memory.groups[group]!);
  }

  attend(group: number, query: Tensor): Tensor {
    const cache = this.#memory.groups[group]!;
    const shape = attentionShape(this.#config);
    return pagedAttention(this.#execution, query, cache, this.#table.entries, this.#sequences, shape);
  }
}

/**
 * Reads the chunks: row 0 is the first token of the first of them. What it answers with lives until the arena's reset.
 * @param keepsProbabilities whether the reports have the router's probabilities.
 */
export function runStep(
  { execution, model }: { execution: Execution; model: Transformer },
  memory: PageMemory,
  table: PageTable,
  chunks: readonly Chunk[],
  keepsProbabilities: boolean,
): { hidden: Tensor; routings: RoutingReport[] } {
  const { arena } = execution;
  const rows = chunks.reduce((sum, { count }) => sum + count, 0);
  const tokens = new Int32Array(rows);
  const positions = new Int32Array(rows);
  const places = new Int32Array(rows);
  const sequences = new Int32Array(4 * chunks.length);
  let row = 0;
  for (const [at, { sequence, start, count }] of chunks.entries()) {
    sequences.set([row, count, sequence.slot * table.entriesPerSlot, start + count], 4 * at);
    for (let position = start; position < start + count; position++, row++) {
      tokens[row] = sequence.tokenAt(position);
      positions[row] = position;
      places[row] = sequence.pages[Math.floor(position / pageTokens)]! * pageTokens + (position % pageTokens);
    }
  }
  const attend = new PagedAttention(
    execution,
    model.config,
    memory,
    table,
    arena.integers(places),
    arena.integers(sequences, chunks.length, 4),
  );
  const input = { tokens: arena.integers(tokens), positions: arena.integers(positions) };
  return model.forward(execution, input, attend, { ...dropless, keepsProbabilities, skipsLosses: true });
}
