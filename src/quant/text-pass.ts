/** A text through a model, window by window: what it costs in bits, and what calibration looks at on the way. */
import { setImmediate } from "node:timers/promises";
import type { CommandContext } from "../base/events.ts";
import { PackedAttention } from "../model/attention.ts";
import { dropless } from "../model/router.ts";
import type { Transformer } from "../model/transformer.ts";
import type { Execution } from "../tensor/execution.ts";
import { linearCrossEntropy } from "../tensor/ops/cross-entropy.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** Inputs and the tokens that follow them, int32 of equal length. */
export type TextWindow = { tokens: Int32Array; targets: Int32Array };

export type WindowedText = { windows: TextWindow[]; tokens: number; bytes: number };

/** Cuts a text into windows that each begin like a document, so that every token of it is a target once. */
export async function windowsOf(
  tokenizer: Tokenizer,
  text: string,
  { windowTokens, mostTokens = Number.POSITIVE_INFINITY }: { windowTokens: number; mostTokens?: number },
): Promise<WindowedText> {
  const ids = (await tokenizer.encodeText(text)).subarray(0, Number.isFinite(mostTokens) ? mostTokens : undefined);
  const windows: TextWindow[] = [];
  for (let at = 0; at < ids.length; at += windowTokens) {
    const targets = ids.slice(at, at + windowTokens);
    const tokens = new Int32Array(targets.length);
    tokens[0] = tokenizer.controlId("startOfText");
    tokens.set(targets.subarray(0, -1), 1);
    windows.push({ tokens, targets });
  }
  let bytes = 0;
  for (const id of ids) bytes += tokenizer.tokenBytes(id).byteLength;
  return { windows, tokens: ids.length, bytes };
}

/** Runs a model over a text. Returns its bits per byte. Throws the signal's reason. */
export async function textBitsPerByte(
  execution: Execution,
  model: Transformer,
  { windows, bytes }: WindowedText,
  what: string,
  { signal, onEvent }: CommandContext = {},
): Promise<number> {
  let loss = 0;
  let done = 0;
  for (const { tokens, targets } of windows) {
    signal?.throwIfAborted();
    const { arena } = execution;
    const count = tokens.length;
    const attend = new PackedAttention(
      execution,
      model.config,
      arena.integers(Int32Array.of(0, count, 0, count), 1, 4),
    );
    const positions = arena.integers(Int32Array.from({ length: count }, (_, position) => position));
    const { hidden } = model.forward(execution, { tokens: arena.integers(tokens), positions }, attend, dropless);
    const losses = linearCrossEntropy(execution, hidden, model.head, arena.integers(targets), 1);
    for (const value of losses.toFloat32Array()) loss += value;
    arena.reset();
    done += 1;
    onEvent?.({ type: "progress", what, done, total: windows.length, unit: "windows" });
    await setImmediate();
  }
  return loss / Math.LN2 / bytes;
}
