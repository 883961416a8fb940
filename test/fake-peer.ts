/**
 * A peer that speaks the protocol of bench/peers without computing anything: every part takes a second. It refuses the work
 * "bmm", dies at "padded" when it is compiled, and greets on standard output as some libraries do.
 */
import { createInterface } from "node:readline";
import type { Request, TrainWork } from "../src/bench/protocol.ts";

const seconds = Object.fromEntries(
  ["step", "product", "forward", "backward", "prefill", "decode", "streams"].map((part) => [part, 1]),
);

function answer(request: Request): object {
  if (request.method === "hello") return { name: "fake", version: "1.0" };
  if (request.method === "memory") return { peakBytes: 2 ** 40 };
  if (request.method === "round") return { seconds };
  if (request.method !== "prepare") throw new Error(`no ${request.method} here`);
  const { variant } = request.work as TrainWork;
  if (variant?.experts === "bmm") throw new Error("no bmm here");
  if (variant?.experts === "padded" && variant.compile) {
    process.stderr.write("the compiler was eaten\n");
    process.exit(7);
  }
  return {};
}

process.stdout.write("hello, I am a library\n");
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as Request;
  try {
    process.stdout.write(`${JSON.stringify({ id: request.id, result: answer(request) })}\n`);
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ id: request.id, error: (error as Error).message })}\n`);
  }
}
