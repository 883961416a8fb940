/** rookery_router_select on plain arrays, for tests: poisoned outputs, guarded ends, and inputs of any skew. */
import assert from "node:assert/strict";
import { NativeMemory } from "../../src/kernels/bindings/memory.ts";
import {
  type RoutingMode,
  routerSelect,
  routerSelectScratchBytes,
  routingModeCodes,
} from "../../src/kernels/bindings/moe.ts";
import { fromMemory, fromMemoryI32, normals, scratchMemory, toMemory } from "./support.ts";

export type RoutingRequest = {
  tokens: number;
  experts: number;
  k: number;
  mode: RoutingMode;
  capacity: number;
  keys: [number, number];
};

/** The outputs of rookery.h, copied out; slotAt holds the rows that exist and no more. */
export type Routing = {
  selected: number[];
  assigned: number[];
  gates: Float64Array;
  offsets: number[];
  rowOf: number[];
  slotAt: number[];
  load: number[];
  counts: { slots: number; over: number; recycled: number; dropped: number };
};

const guardBytes = 64;
const poison = 0x5a;

/** The most tokens an expert takes: ceil(factor · tokens · k / experts). */
export function capacityOf(factor: number, { tokens, experts, k }: { tokens: number; experts: number; k: number }) {
  return Math.ceil((factor * tokens * k) / experts);
}

/** Runs the kernel. Fails if it writes past the end of an output. */
export function route(probabilities: ArrayLike<number>, request: RoutingRequest): Routing {
  const { tokens, experts, k, mode, capacity, keys } = request;
  const slots = tokens * k;
  const lengths = { selected: slots, assigned: slots, gates: slots, offsets: experts + 1, rowOf: slots };
  const allLengths = { ...lengths, slotAt: slots, load: experts, counts: 4 };
  const names = Object.keys(allLengths) as (keyof typeof allLengths)[];
  using stack = new DisposableStack();
  const output = (length: number) => {
    const memory = stack.use(new NativeMemory(4 * length + guardBytes));
    memory.bytes().fill(poison);
    return memory;
  };
  const outputs = Object.fromEntries(names.map((name) => [name, output(allLengths[name])])) as Record<
    keyof typeof allLengths,
    NativeMemory
  >;
  const scratchBytes = routerSelectScratchBytes({ tokens, experts });
  const scratch = stack.use(scratchMemory(scratchBytes + guardBytes));
  routerSelect({
    probabilities: stack.use(toMemory(probabilities)),
    ...{ tokens, experts, k, capacity, scratch },
    mode: routingModeCodes[mode],
    key0: keys[0],
    key1: keys[1],
    ...outputs,
  });
  for (const name of names) {
    const guard = outputs[name].bytes(4 * allLengths[name]);
    assert.ok(
      guard.every((byte) => byte === poison),
      `${name} was written past its end`,
    );
  }
  assert.ok(
    scratch.bytes(scratchBytes).every((byte) => byte === 0xff),
    "scratch was written past its end",
  );
  const read = (name: keyof typeof allLengths) => fromMemoryI32(outputs[name], allLengths[name]);
  const [counted, over, recycled, dropped] = read("counts") as [number, number, number, number];
  const offsets = read("offsets");
  return {
    ...{ selected: read("selected"), assigned: read("assigned"), offsets, rowOf: read("rowOf"), load: read("load") },
    gates: fromMemory(outputs.gates, slots),
    slotAt: read("slotAt").slice(0, offsets[experts]!),
    counts: { slots: counted, over, recycled, dropped },
  };
}

/** Probabilities [tokens, experts] rounded to f32; `skew` > 0 draws the tokens to the experts of low number. */
export function skewedProbabilities(tokens: number, experts: number, seed: number, skew: number): Float64Array {
  const logits = normals(tokens * experts, seed).map((logit, i) => logit - skew * (i % experts));
  const result = new Float64Array(tokens * experts);
  for (let t = 0; t < tokens; t++) {
    const row = logits.subarray(t * experts, (t + 1) * experts);
    const highest = Math.max(...row);
    const sum = row.reduce((total, logit) => total + Math.exp(logit - highest), 0);
    row.forEach((logit, e) => {
      result[t * experts + e] = Math.fround(Math.exp(logit - highest) / sum);
    });
  }
  return result;
}
