/** Preference pairs: read, encoded, and handed out by the number of the step. */
import { shuffled, streamKeys } from "../base/random.ts";
import { type PreferencePair, preferenceReader } from "../data/chat.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type ChatData, type Example, readChatData } from "./chat-data.ts";
import type { RewardOptions } from "./options.ts";
import { inParts, lengthOf, type PackedSamples, packRows, planRows, type Unit } from "./packing.ts";
import { encodeAnswer } from "./samples.ts";
import type { StageContext } from "./stage.ts";

/** The chosen answer, then the rejected one, each after the prompt. */
export async function encodePair(tokenizer: Tokenizer, { prompt, chosen, rejected }: PreferencePair): Promise<Unit> {
  return [await encodeAnswer(tokenizer, prompt, chosen), await encodeAnswer(tokenizer, prompt, rejected)];
}

export function readPairs(
  options: Pick<RewardOptions, "data" | "heldOutShare" | "sequenceLength" | "rules">,
  tokenizer: Tokenizer,
  context: StageContext,
): Promise<ChatData<PreferencePair>> {
  return readChatData(options, preferenceReader(options), (pair) => encodePair(tokenizer, pair), context);
}

/**
 * The pairs of update `step`, counted from 1, `count` an update: an endless walk through epochs, each in an order of its own.
 * @param total pairs there are.
 */
export function pairsOfStep(step: number, count: number, total: number, seed: number): number[] {
  const first = (step - 1) * count;
  const orders = new Map<number, Uint32Array>();
  return Array.from({ length: count }, (_, i) => {
    const epoch = Math.floor((first + i) / total);
    const order = orders.get(epoch) ?? shuffled(total, streamKeys(seed, "pairs", epoch));
    orders.set(epoch, order);
    return order[(first + i) % total]!;
  });
}

/** Units as micro-batches. `placed` tells units by their place in the list. */
export function packUnits(
  units: readonly Unit[],
  { microBatchRows, sequenceLength }: { microBatchRows: number; sequenceLength: number },
  padToken: number,
): PackedSamples[] {
  const rows = planRows(units.map(lengthOf), units.keys(), sequenceLength);
  return inParts(rows, microBatchRows).map((some) => packRows(some, (unit) => units[unit]!, sequenceLength, padToken));
}

/** The two places of each unit of a batch. */
export function placesOfPairs({ placed }: PackedSamples) {
  return [...Map.groupBy(placed, ({ unit }) => unit)].map(([unit, places]) => {
    const [chosen, rejected] = [places.find(({ sample }) => sample === 0)!, places.find(({ sample }) => sample === 1)!];
    return { unit, chosen, rejected };
  });
}

export type PairExample = Example<PreferencePair>;
