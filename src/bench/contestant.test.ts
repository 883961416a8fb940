import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { RookeryError } from "../base/errors.ts";
import { Contestant } from "./contestant.ts";
import { findPeer, peerEnvironment } from "./peers.ts";

const folder = mkdtempSync(join(tmpdir(), "rookery-contestant-"));
after(() => rmSync(folder, { recursive: true }));
const fakePeer = join(import.meta.dirname, "..", "..", "test", "fake-peer.ts");

function peerFrom(file: string, signal?: AbortSignal): Contestant {
  const found = findPeer(file, undefined);
  assert.ok("program" in found);
  return Contestant.peer(found.program, process.env, signal);
}

function script(name: string, text: string): string {
  const file = join(folder, `${name}.mjs`);
  writeFileSync(file, text);
  return file;
}

const fails = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof RookeryError, String(error));
  assert.equal(error.code, "BENCH_FAILED");
  assert.match(error.message, message);
  return true;
};

test("a peer answers, in order, and refuses without ending", async () => {
  await using peer = peerFrom(fakePeer);
  assert.deepEqual(await peer.call("hello", { threads: 1 }), { name: "fake", version: "1.0" });
  await assert.rejects(peer.call("check", {}), fails(/^fake-peer failed: no check here$/));
  const both = await Promise.all([peer.call("memory", {}), peer.call("round", { seconds: 1 })]);
  assert.equal(both[0].peakBytes, 2 ** 40);
  assert.equal(both[1].seconds.step, 1);
});

test("a peer that dies is told of with its last words, at once and ever after", async () => {
  await using peer = peerFrom(script("dies", "console.error('first'); console.error('out of luck'); process.exit(3);"));
  await assert.rejects(peer.call("hello", { threads: 1 }), fails(/^dies ended with code 3: out of luck$/));
  await assert.rejects(peer.call("hello", { threads: 1 }), fails(/out of luck/));
});

test("a peer that is silent is ended, and one that answers something else is refused", async () => {
  const silent = peerFrom(script("silent", "setInterval(() => {}, 1000);"));
  await assert.rejects(silent.call("hello", { threads: 1 }, 0.2), fails(/no answer to hello in 0.2 s/));
  await silent[Symbol.asyncDispose]();
  const odd = peerFrom(script("odd", `process.stdin.once("data", () => console.log('{"id":1,"result":{"name":5}}'));`));
  await assert.rejects(odd.call("hello", { threads: 1 }), fails(/answered hello with something else/));
  await odd[Symbol.asyncDispose]();
});

test("a program that is not there is an error, not a crash", async () => {
  await using peer = Contestant.peer({ name: "ghost", command: join(folder, "ghost"), words: [] }, process.env);
  await assert.rejects(peer.call("hello", { threads: 1 }), fails(/ENOENT/));
});

test("stopping ends the processes and rejects what is waited for", async () => {
  const controller = new AbortController();
  await using peer = peerFrom(script("waits", "setInterval(() => {}, 1000);"), controller.signal);
  const waiting = peer.call("hello", { threads: 1 });
  controller.abort();
  await assert.rejects(waiting, { name: "AbortError" });
  await assert.rejects(peer.call("memory", {}), { name: "AbortError" });
});

test("peers are found where they are installed, or the word says what is missing", () => {
  assert.deepEqual(findPeer("none", undefined), { missing: "no peer was asked for" });
  assert.throws(() => findPeer("pytorch", join(folder, "no-python")), { code: "INVALID_OPTION" });
  assert.throws(() => findPeer(join(folder, "nothing.mjs"), undefined), { code: "INVALID_OPTION" });
  const found = findPeer("pytorch", process.execPath);
  assert.ok("program" in found);
  assert.match(found.program.words[0]!, /bench.peers.pytorch.server\.py$/);
});

test("a peer is held to our threads and level, and freed of settings for BLAS", () => {
  const given = { HOME: "/home", OPENBLAS_CORETYPE: "Prescott", OPENBLAS_L2_SIZE: "1" };
  assert.deepEqual(peerEnvironment(given, 3, undefined), { HOME: "/home", OMP_NUM_THREADS: "3" });
  assert.deepEqual(peerEnvironment(given, 2, "avx512"), {
    HOME: "/home",
    OMP_NUM_THREADS: "2",
    ONEDNN_MAX_CPU_ISA: "AVX512_CORE",
    MKL_ENABLE_INSTRUCTIONS: "AVX512",
    ATEN_CPU_CAPABILITY: "avx512",
  });
});
