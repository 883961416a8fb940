import { Execution } from "../../tensor/execution.ts";
import { attention } from "../../tensor/ops/attention.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { AttentionWork } from "../protocol.ts";
import { checkAttention } from "./attention-check.ts";
import { Inputs } from "./inputs.ts";
import { digestOf, type Seconds, secondsOf, type Workload } from "./workload.ts";

/** The op that training calls: forward while it records, then its backward from a given gradient. */
export class AttentionWorkload implements Workload {
  readonly #work: AttentionWork;
  readonly #execution: Execution;
  readonly #inputs = new Inputs();
  readonly #q: Tensor;
  readonly #k: Tensor;
  readonly #v: Tensor;
  readonly #dout: Tensor;
  readonly #sequences: Tensor;

  constructor(work: AttentionWork, threads: number) {
    const { computeType, sequences, length, heads, keyValueHeads, headDim } = work;
    const rows = sequences * length;
    const inputs = this.#inputs;
    this.#work = work;
    this.#execution = new Execution({ threads, computeType });
    this.#q = inputs.uniform("q", computeType, rows, heads * headDim);
    this.#k = inputs.uniform("k", computeType, rows, keyValueHeads * headDim);
    this.#v = inputs.uniform("v", computeType, rows, keyValueHeads * headDim);
    this.#dout = inputs.uniform("dout", computeType, rows, heads * headDim);
    const starts = Array.from({ length: sequences }, (_, i) => [i * length, length, i * length, length]);
    this.#sequences = inputs.integers(Int32Array.from(starts.flat())).reshape(sequences, 4);
  }

  time(repetitions: number): Seconds {
    const seconds = { forward: 0, backward: 0 };
    for (let i = 0; i < repetitions; i++) this.#once(seconds);
    return seconds;
  }

  digest(): string {
    const { out, dq, dk, dv } = this.#results();
    return digestOf([out, dq, dk, dv]);
  }

  check(): { largestError: number; allowedError: number } {
    const floats = (bytes: Uint8Array<ArrayBuffer>, like: Tensor) => {
      using inputs = new Inputs();
      const copy = inputs.empty(like.dtype, ...like.shape);
      copy.setBytes(bytes);
      return copy.toFloat32Array();
    };
    const { out, dq, dk, dv } = this.#results();
    return checkAttention(this.#work, {
      q: this.#q.toFloat32Array(),
      k: this.#k.toFloat32Array(),
      v: this.#v.toFloat32Array(),
      dout: this.#dout.toFloat32Array(),
      out: floats(out, this.#q),
      dq: floats(dq, this.#q),
      dk: floats(dk, this.#k),
      dv: floats(dv, this.#v),
    });
  }

  [Symbol.dispose](): void {
    this.#inputs[Symbol.dispose]();
    this.#execution[Symbol.dispose]();
  }

  #results() {
    const results: Record<string, Uint8Array<ArrayBuffer>> = {};
    this.#once({ forward: 0, backward: 0 }, results);
    return results as Record<"out" | "dq" | "dk" | "dv", Uint8Array<ArrayBuffer>>;
  }

  #once(seconds: { forward: number; backward: number }, results?: Record<string, Uint8Array>): void {
    const { heads, keyValueHeads, headDim } = this.#work;
    const execution = this.#execution;
    // recorded before the op, so it runs after the op's backward, while the gradients are still there
    let copyGradients = () => {};
    const { result: out, tape } = execution.record(() => {
      const recording = execution.tape!;
      recording.record([], () => copyGradients());
      let made!: Tensor;
      const shape = { heads, keyValueHeads, headDim };
      seconds.forward += secondsOf(() => {
        made = attention(execution, this.#q, this.#k, this.#v, this.#sequences, shape);
      });
      return made;
    });
    if (results) {
      results.out = out.toBytes();
      copyGradients = () => {
        results.dq = tape.gradientOf(this.#q).tensor.toBytes();
        results.dk = tape.gradientOf(this.#k).tensor.toBytes();
        results.dv = tape.gradientOf(this.#v).tensor.toBytes();
      };
    }
    tape.gradientOf(out).tensor.setBytes(this.#dout.toBytes());
    seconds.backward += secondsOf(() => tape.runBackward());
    execution.arena.reset();
  }
}
