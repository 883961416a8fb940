/** Records of files as samples: encoded, held out by their hash, and counted where they cannot be used. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { sha256OfFile } from "../base/files.ts";
import type { Reading } from "../data/chat.ts";
import { ChatFaults, readChatFiles } from "../data/chat-files.ts";
import { lengthOf, type Unit } from "./packing.ts";

export type Example<Value> = { value: Value; unit: Unit };

export type ChatData<Value> = {
  train: Example<Value>[];
  heldOut: Example<Value>[];
  leftOut: Record<string, number>;
  /** Of everything that was read, as it is trained on. */
  fingerprint: string;
  summary: string;
};

type Settings = { data: readonly string[]; heldOutShare: number; sequenceLength: number };

/**
 * Reads, encodes and splits. A record is held out if the hash of its words says so: the same records are, in whatever files and
 * order they come. @throws RookeryError BAD_DATA where nothing is left to train on.
 */
export async function readChatData<Value extends object>(
  { data, heldOutShare, sequenceLength }: Settings,
  read: (record: unknown) => Reading<Value>,
  encode: (value: Value) => Promise<Unit>,
  context: CommandContext,
): Promise<ChatData<Value>> {
  const faults = new ChatFaults(context);
  const records = await readChatFiles(data, read, faults, context);
  const total = records.length + faults.total;
  const hash = createHash("sha256");
  const [train, heldOut]: [Example<Value>[], Example<Value>[]] = [[], []];
  for (const [index, { value, where }] of records.entries()) {
    if (index % 1000 === 0) {
      context.signal?.throwIfAborted();
      const count = { done: index, total: records.length, unit: "records" };
      context.onEvent?.({ type: "progress", what: "encoding the records", ...count });
    }
    const unit = await encode(value);
    const length = lengthOf(unit);
    if (length > sequenceLength) {
      faults.report("tooLong", where, `${length} tokens for ${sequenceLength}`);
      continue;
    }
    for (const { tokens, targets } of unit) hash.update(tokens).update(targets);
    const words = createHash("sha256").update(JSON.stringify(value)).digest();
    (words.readUInt32LE(0) < heldOutShare * 2 ** 32 ? heldOut : train).push({ value, unit });
  }
  if (train.length === 0) {
    throw new RookeryError(
      "BAD_DATA",
      `nothing is left to train on: of ${total} records ${faults.total} are left out and ${heldOut.length} held out`,
      faults.examples[0] ?? "lower --held-out-share, or give more data",
    );
  }
  const leftOut = Object.entries(faults.counts).map(([fault, count]) => `${count} ${fault}`);
  const summary =
    `${train.length} records to train on, ${heldOut.length} held out, ` +
    `${leftOut.length > 0 ? `${faults.total} left out (${leftOut.join(", ")})` : "none left out"}`;
  return { train, heldOut, leftOut: faults.counts, fingerprint: hash.digest("hex"), summary };
}

/** Names the weights of a model directory. @throws RookeryError FILE_UNREADABLE. */
export function weightsFingerprint(folder: string): string {
  const hash = createHash("sha256");
  for (const name of fs.readdirSync(folder).sort()) {
    if (name.endsWith(".safetensors") || name === "config.json") hash.update(sha256OfFile(path.join(folder, name)));
  }
  return hash.digest("hex");
}
