/** Seconds of a step by kernel, and by the class of work that a kernel belongs to. */
import type { Reply } from "./protocol.ts";

/** The first pattern that fits names the class. */
const classes: readonly (readonly [name: string, pattern: RegExp])[] = [
  ["head and loss", /cross_entropy|loss|logits/],
  ["attention", /attention/],
  ["weight gradients", /weight_gradient/],
  ["products that pack weights", /matmul_packing/],
  ["packing weights", /pack/],
  ["products", /matmul|expert/],
  ["optimizer", /adamw|sum_of_squares/],
  ["routing", /rout|dispatch|combine|recycl/],
  ["activations", /swiglu/],
  ["norms and positions", /norm|rope/],
];

export const otherKernels = "other kernels";
export const outsideKernels = "outside kernels";

export type ProfileLine = { name: string; secondsPerStep: number; share: number };

export type Profile = {
  secondsPerStep: number;
  classes: ProfileLine[];
  kernels: (ProfileLine & { callsPerStep: number })[];
};

export function classOf(kernel: string): string {
  return classes.find(([, pattern]) => pattern.test(kernel))?.[0] ?? otherKernels;
}

/** Sums up what a worker has timed; what no kernel took is TypeScript. */
export function profileOf({ repetitions, seconds, kernels }: Reply<"profile">): Profile {
  const secondsPerStep = seconds / repetitions;
  const line = (name: string, total: number) => ({ name, secondsPerStep: total / repetitions, share: total / seconds });
  const sums = new Map<string, number>();
  let inKernels = 0;
  for (const one of kernels) {
    const name = classOf(one.kernel);
    sums.set(name, (sums.get(name) ?? 0) + one.seconds);
    inKernels += one.seconds;
  }
  sums.set(outsideKernels, Math.max(0, seconds - inKernels));
  return {
    secondsPerStep,
    classes: [...sums].map(([name, total]) => line(name, total)).sort((a, b) => b.secondsPerStep - a.secondsPerStep),
    kernels: kernels.map((one) => ({
      ...line(one.kernel.replace(/^rookery_/, ""), one.seconds),
      callsPerStep: one.calls / repetitions,
    })),
  };
}
