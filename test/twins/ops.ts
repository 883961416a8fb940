/** Slow f64 twins of the ops of src/tensor/ops that no kernel's twin is already, and the gradient check of any op. */
import assert from "node:assert/strict";
import { liveMemory } from "../../src/kernels/bindings/memory.ts";
import { Execution } from "../../src/tensor/execution.ts";
import type { RoutingReport } from "../../src/tensor/ops/router.ts";
import { Parameter, type ParameterKind } from "../../src/tensor/parameter.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { matmulTwin } from "./gemm.ts";
import { crossEntropy } from "./loss.ts";
import * as moe from "./moe.ts";
import { assertClose, type Dtype, normals, relativeError, roundTo } from "./support.ts";

/** y = [residual +] x Wᵀ, group by group where offsets are given; rows of no group are 0. */
export function linear(
  x: Float64Array,
  weight: Float64Array,
  size: { out: number; in: number; offsets?: number[] },
  residual?: Float64Array,
): Float64Array {
  const offsets = size.offsets ?? [0, x.length / size.in];
  return matmulTwin(x, weight, residual, { ...size, offsets }, false);
}

/** Σ of the losses of x Wᵀ against the targets, times scale, and the losses. */
export function headLoss(
  x: Float64Array,
  weight: Float64Array,
  targets: ArrayLike<number>,
  columns: number,
  scale: number,
): { output: Float64Array; loss: number } {
  const vocabulary = weight.length / columns;
  const { losses } = crossEntropy(linear(x, weight, { out: vocabulary, in: columns }), targets, vocabulary, scale);
  return { output: losses, loss: scale * losses.reduce((sum, loss) => sum + loss, 0) };
}

/** down · (silu(gate) · up) of x [rows, hidden], for one expert or for the `expert`-th of many. */
export function gatedExpert(
  x: Float64Array,
  { gateUp, down }: { gateUp: Float64Array; down: Float64Array },
  { hidden, width, expert = 0 }: { hidden: number; width: number; expert?: number },
): Float64Array {
  const [gateUpSize, downSize] = [2 * width * hidden, hidden * width];
  const both = linear(x, gateUp.subarray(expert * gateUpSize, (expert + 1) * gateUpSize), {
    out: 2 * width,
    in: hidden,
  });
  const h = moe.swigluForward(both, width);
  return linear(h, down.subarray(expert * downSize, (expert + 1) * downSize), { out: hidden, in: width });
}

/** What the kernels chose, for twins that keep to it. */
export function frozenRouting({ topK, selected, assigned, load }: RoutingReport): moe.FrozenRouting {
  const numbers = (tensor: Tensor) => [...tensor.toInt32Array()];
  return { k: topK, selected: numbers(selected), assigned: numbers(assigned), load: numbers(load) };
}

export type RouterWeights = { balanceWeight: number; zWeight: number };

/** The gates of a frozen choice of experts, and the router's two losses by their weights. */
export function router(
  x: Float64Array,
  weight: Float64Array,
  shape: moe.RouterShape,
  routing: moe.FrozenRouting,
  { balanceWeight, zWeight }: RouterWeights,
): { output: Float64Array; loss: number } {
  const { probabilities, logSumExp } = moe.routerForward(x, weight, shape);
  const { balance, z } = moe.routerLosses(probabilities, logSumExp, routing.load);
  const loss = balanceWeight * balance + zWeight * z;
  return { output: moe.gatesOf(probabilities, shape.experts, routing), loss };
}

/** base + Σ gate · expert(x), token by token without sorting, and the router's losses. */
export function mixture(
  inputs: Record<"x" | "base" | "router" | "gateUp" | "down", Float64Array>,
  { width, ...shape }: moe.RouterShape & { width: number },
  routing: moe.FrozenRouting,
  weights: RouterWeights,
): { output: Float64Array; loss: number } {
  const { tokens, hidden } = shape;
  const { output: gates, loss } = router(inputs.x, inputs.router, shape, routing, weights);
  const output = inputs.base.slice();
  for (let slot = 0; slot < tokens * routing.k; slot++) {
    const expert = routing.assigned[slot]!;
    if (expert < 0) continue;
    const start = Math.floor(slot / routing.k) * hidden;
    const row = gatedExpert(inputs.x.subarray(start, start + hidden), inputs, { hidden, width, expert });
    for (let i = 0; i < hidden; i++) output[start + i]! += gates[slot]! * row[i]!;
  }
  return { output, loss };
}

/** An activation or a parameter of a gradient check: random by its shape unless it is told. */
export type Operand = { shape: number[]; kind?: ParameterKind; scale?: number; values?: Float64Array };

export type OpCase = {
  dtype: Dtype;
  /** Activations, in the compute type. */
  inputs: Record<string, Operand>;
  /** Matrices hold numbers of the compute type, arrays f32. */
  parameters?: Record<string, Operand & { kind: ParameterKind }>;
  /** The op on those names; the gradient of what it returns is filled with random numbers, unless `seeded` is false. */
  run: (execution: Execution, tensors: Record<string, Tensor>, parameters: Record<string, Parameter>) => Tensor;
  seeded?: boolean;
  /** If it is not the compute type. */
  outputDtype?: Dtype;
  /** The same in f64; `loss` is what the op adds to the total loss by itself. */
  twin: (values: Record<string, Float64Array>) => { output: Float64Array; loss?: number };
  /** Leading elements that are written, where not all are: of "output" and of the gradients of inputs. */
  written?: Record<string, number>;
};

type Gradients = { output: Float32Array; gradients: Map<string, Float32Array> };

/** Fills what the arena will hand out with NaN, so that an op which reads what it has not written is noticed. */
function poison(execution: Execution): void {
  const bytes = 1 << 20;
  execution.arena.tensor("f32", bytes / 4).setFloats(new Float32Array(bytes / 4).fill(Number.NaN));
  execution.arena.reset();
}

/**
 * Runs the op forward and backward. With `start`, gradients are there already, as if other consumers had left them;
 * without it the first touch must overwrite.
 */
function runOp(
  op: OpCase,
  values: Record<string, Float64Array>,
  { threads, start = false }: { threads: number; start?: boolean },
): Gradients {
  using stack = new DisposableStack();
  const execution = stack.use(new Execution({ threads, computeType: op.dtype }));
  poison(execution);
  const floats = (name: string) => Float32Array.from(values[name]!);
  const startOf = (name: string, dtype: Dtype) => Float32Array.from(startValues(name, values[name]!.length, dtype));
  const tensors: Record<string, Tensor> = {};
  const parameters: Record<string, Parameter> = {};
  for (const [name, { shape, kind }] of Object.entries(op.parameters ?? {})) {
    const parameter = stack.use(new Parameter(name, shape, kind));
    parameters[name] = parameter;
    parameter.weight.setFloats(floats(name));
    parameter.gradient.setFloats(startOf(name, "f32"));
    if (!start) parameter.startGradient();
  }
  const gradients = new Map<string, Float32Array>();
  const { result: output, tape } = execution.record(() => {
    // What is recorded first goes backward last: then the inputs' gradients are complete.
    execution.tape?.record([], () => {
      for (const [name, tensor] of Object.entries(tensors)) {
        using gradient = tape.take(tensor);
        if (gradient) gradients.set(name, gradient.tensor.toFloat32Array());
      }
    });
    // Inputs end with the scope too: an op that does not say what its way back reads is noticed.
    return execution.arena.scope(
      () => {
        for (const [name, { shape }] of Object.entries(op.inputs)) {
          tensors[name] = execution.arena.tensor(op.dtype, ...shape);
          tensors[name].setFloats(floats(name));
        }
        return op.run(execution, tensors, parameters);
      },
      (made) => [made],
    );
  });
  if (start) {
    for (const [name, tensor] of Object.entries(tensors)) {
      tape.gradientOf(tensor).tensor.setFloats(startOf(name, op.dtype));
    }
  }
  if (op.seeded !== false) {
    const dy = Float32Array.from(outputGradient(output.elements, op.outputDtype ?? op.dtype));
    dy.fill(Number.NaN, op.written?.output ?? dy.length);
    tape.gradientOf(output).tensor.setFloats(dy);
  }
  const values32 = output.toFloat32Array();
  tape.runBackward();
  for (const [name, parameter] of Object.entries(parameters)) {
    parameter.finishGradient();
    gradients.set(name, parameter.gradient.toFloat32Array());
  }
  return { output: values32, gradients };
}

const outputGradient = (count: number, dtype: Dtype) => normals(count, 999, dtype);
const startValues = (name: string, count: number, dtype: Dtype) => normals(count, 500 + name.length, dtype);

/**
 * Fails unless the op's output is its twin's and every gradient is that of central differences of the twin, relative error
 * of each tensor at most 1e-4 in f32 and 1e-2 in bf16; and unless gradients that are there already are added to, threads
 * change no bit, and all memory is given back.
 */
export function checkGradient(op: OpCase): void {
  const before = liveMemory();
  const { dtype } = op;
  const operands = { ...op.inputs, ...op.parameters };
  const values: Record<string, Float64Array> = {};
  for (const [index, [name, { shape, kind, scale = 1, values: given }]] of Object.entries(operands).entries()) {
    const type = kind === "array" ? "f32" : dtype;
    const count = shape.reduce((product, size) => product * size, 1);
    values[name] = given?.map((value) => roundTo(type, value)) ?? normals(count, index + 1, type, scale);
  }
  const fresh = runOp(op, values, { threads: 1 });
  const added = runOp(op, values, { threads: 1, start: true });
  const threaded = runOp(op, values, { threads: 3 });

  const { output } = op.twin(values);
  const writtenOutput = op.written?.output ?? output.length;
  assertClose(fresh.output.subarray(0, writtenOutput), output.subarray(0, writtenOutput), dtype, "output");
  const dy =
    op.seeded === false ? new Float64Array(output.length) : outputGradient(output.length, op.outputDtype ?? dtype);
  dy.fill(0, writtenOutput);
  const objective = () => {
    const { output: y, loss = 0 } = op.twin(values);
    return y.reduce((sum, value, i) => sum + value * dy[i]!, loss);
  };
  for (const name of Object.keys(operands)) {
    const expected = moe.centralDifferences(objective, values[name]!);
    const written = op.written?.[name] ?? expected.length;
    const compare = (from: Gradients, wanted: Float64Array, what: string) => {
      const actual = from.gradients.get(name);
      assert.ok(actual, `${name} has no gradient`);
      const error = relativeError(actual.subarray(0, written), wanted.subarray(0, written));
      assert.ok(error <= (dtype === "bf16" ? 1e-2 : 1e-4), `${what} of ${name} (${dtype}): relative error ${error}`);
    };
    compare(fresh, expected, "gradient");
    const start = startValues(name, expected.length, name in op.inputs ? dtype : "f32");
    const sum = expected.map((value, i) => value + start[i]!);
    compare(added, sum, "gradient after another consumer");
    const bits = (from: Gradients) => Buffer.from(from.gradients.get(name)!.slice(0, written).buffer).toString("hex");
    assert.equal(bits(threaded), bits(fresh), `${name} on 3 threads`);
  }
  assert.deepEqual(liveMemory(), before);
}
