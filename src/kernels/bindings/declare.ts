/**
 * The one place that calls koffi: a kernel is declared once with its arguments by name and kind, and called with an object.
 * koffi would pass NaN, fractions and negative lengths on to C; this refuses them.
 */
import { RookeryError } from "../../base/errors.ts";
import { loadKernels } from "../load.ts";

/** Something that lies in native memory. Its owner keeps it alive during the call. */
export interface Addressed {
  readonly address: number;
  /** Set where there is only a plan of memory: a kernel that is given any of it does nothing. */
  readonly isPlanned?: boolean;
}

/** memory: a place, or null where the argument is optional; size: a count; int: a 32-bit integer; float: a number, not NaN. */
export type ArgumentKind = "memory" | "size" | "int" | "float";

type ArgumentOf<Kind extends ArgumentKind> = Kind extends "memory" ? Addressed | null : number;
export type ArgumentsOf<Spec extends Record<string, ArgumentKind>> = { [Name in keyof Spec]: ArgumentOf<Spec[Name]> };

const nativeTypes: Record<ArgumentKind, string> = {
  memory: "uintptr_t",
  size: "size_t",
  int: "int32_t",
  float: "float",
};

function convert(kernel: string, name: string, kind: ArgumentKind, value: Addressed | null | number): number {
  if (kind === "memory") {
    if (value === null) return 0;
    if (typeof value === "object" && Number.isSafeInteger(value.address) && value.address > 0) return value.address;
  } else if (typeof value === "number") {
    if (kind === "float" && !Number.isNaN(value)) return value;
    if (kind === "size" && Number.isSafeInteger(value) && value >= 0) return value;
    if (kind === "int" && Number.isInteger(value) && value === (value | 0)) return value;
  }
  throw new RookeryError(
    "KERNEL_FAILED",
    `${kernel}: ${name} = ${String(value)} is no ${kind}`,
    "this is a fault of Rookery, please report it",
  );
}

/** What a kernel was called with, by the names of its declaration. */
export type KernelArguments = Readonly<Record<string, Addressed | null | number>>;

/** Hears of every kernel that has run on this JavaScript thread, how long it took, and what it was given. */
export type KernelTimer = (kernel: string, milliseconds: number, args: KernelArguments) => void;

let timer: KernelTimer | undefined;

/** Times every call of a kernel from now on; undefined ends it. While nobody listens, a call pays for one comparison. */
export function timeKernels(listener: KernelTimer | undefined): void {
  timer = listener;
}

const statusType = "int32_t";

function declare<Spec extends Record<string, ArgumentKind>>(kernel: string, returns: string, spec: Spec) {
  const names: (keyof Spec & string)[] = Object.keys(spec);
  const kinds = Object.values(spec);
  let native: ((...values: number[]) => number | bigint) | undefined;
  return (args: ArgumentsOf<Spec>): number => {
    native ??= loadKernels().library.func(
      kernel,
      returns,
      kinds.map((kind) => nativeTypes[kind]),
    ) as (...values: number[]) => number | bigint;
    const values: number[] = [];
    for (let i = 0; i < names.length; i++) values.push(convert(kernel, names[i]!, kinds[i]!, args[names[i]!]));
    if (timer === undefined || returns !== statusType) return Number(native(...values));
    const startMs = performance.now();
    const answer = Number(native(...values));
    timer(kernel, performance.now() - startMs, args);
    return answer;
  };
}

const statusNames = ["ok", "a bad argument", "no threads", "a position that its table does not have"];

/**
 * A kernel that returns a status. The order of `spec` is the order of the C arguments (rookery.h).
 * @throws RookeryError KERNEL_FAILED if an argument is of the wrong kind or the kernel refuses it.
 */
export function kernel<Spec extends Record<string, ArgumentKind>>(
  name: string,
  spec: Spec,
): (args: ArgumentsOf<Spec>) => void {
  const call = declare(name, statusType, spec);
  const memoryNames = Object.keys(spec).filter((name) => spec[name] === "memory");
  return (args) => {
    const memory = args as Record<string, Addressed | null>;
    for (const name of memoryNames) if (memory[name]?.isPlanned) return;
    const status = call(args);
    if (status !== 0) {
      const shown = Object.entries(args).filter(([, value]) => typeof value === "number");
      throw new RookeryError(
        "KERNEL_FAILED",
        `${name} refused ${statusNames[status] ?? `with status ${status}`}: ${shown.map(([key, value]) => `${key}=${value}`).join(" ")}`,
        "this is a fault of Rookery, please report it",
      );
    }
  };
}

/** A function of the library that answers with a number of bytes. */
export function byteCount<Spec extends Record<string, ArgumentKind>>(
  name: string,
  spec: Spec,
): (args: ArgumentsOf<Spec>) => number {
  return declare(name, "size_t", spec);
}

/** The codes of the dtypes that activations come in. */
export const dtypeCodes = { f32: 0, bf16: 1 } as const;

/** And of what a KV cache may hold. */
export const cacheDtypeCodes = { ...dtypeCodes, fp8: 2 } as const;
