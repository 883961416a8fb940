import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, it } from "node:test";
import fc from "fast-check";
import { requestKey, stableJson } from "../base/stable-json.ts";
import { type JobState, openJobs } from "./jobs.ts";

let folder = "";
let file = "";
beforeEach(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-jobs-"));
  file = path.join(folder, "jobs.sqlite");
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const numbered = (count: number, kind = "point") =>
  Array.from({ length: count }, (_, index) => ({ kind, key: `k${index}`, payload: { index } }));

describe("jobs", () => {
  it("are added once, claimed in order, and finished or failed", () => {
    using jobs = openJobs(file, "the work");
    assert.equal(jobs.add(numbered(3)), 3);
    assert.equal(jobs.add(numbered(4)), 1);
    const claimed = jobs.claim("point", 2);
    assert.deepEqual(
      claimed.map(({ key, state, attempts, payload }) => ({ key, state, attempts, payload })),
      [0, 1].map((index) => ({ key: `k${index}`, state: "running", attempts: 1, payload: { index } })),
    );
    jobs.finish(claimed[0]!.id, { text: "知更鸟 🐦 \ud800" }, [{ kind: "next", key: "a", payload: null }]);
    jobs.fail(claimed[1]!.id, "no luck");
    assert.deepEqual(jobs.counts("point"), { pending: 2, running: 0, done: 1, failed: 1 });
    assert.deepEqual(jobs.find("point", "k0")?.result, { text: "知更鸟 🐦 \ud800" });
    assert.equal(jobs.find("point", "k1")?.reason, "no luck");
    assert.equal(jobs.find("next", "a")?.state, "pending");
    assert.equal(jobs.retryFailed("point"), 1);
    assert.equal(jobs.claim("point")[0]?.key, "k1");
    assert.throws(() => jobs.finish(claimed[0]!.id, 1, [{ kind: "next", key: "b", payload: 1 }]), /is not running/);
    assert.equal(jobs.find("next", "b"), undefined, "what a refused finish would have added is not there");
  });

  it("given back are as if never claimed", () => {
    using jobs = openJobs(file, "the work");
    jobs.add(numbered(1));
    const [job] = jobs.claim("point");
    jobs.release(job!.id);
    assert.equal(jobs.claim("point")[0]?.attempts, 1);
  });

  it("that are reopened wait again, with what they gave before", () => {
    using jobs = openJobs(file, "the work");
    jobs.add(numbered(3));
    const [done, failed, running] = jobs.claim("point", 3);
    jobs.finish(done!.id, "first");
    jobs.fail(failed!.id, "no luck");
    assert.equal(jobs.reopen("point"), 2);
    assert.deepEqual(jobs.counts("point"), { pending: 2, running: 1, done: 0, failed: 0 });
    const again = jobs.claim("point", 3);
    assert.deepEqual(
      again.map(({ id, result, reason }) => [id, result, reason]),
      [
        [done!.id, "first", null],
        [failed!.id, null, null],
      ],
    );
    jobs.finish(done!.id, "second");
    jobs.finish(running!.id, null);
    assert.equal(jobs.find("point", done!.key)?.result, "second");
  });

  it("are listed in order, across pages, while they change", () => {
    using jobs = openJobs(file, "the work");
    jobs.add(numbered(1000));
    jobs.add(numbered(3, "other"));
    const keys: string[] = [];
    for (const { key } of jobs.list({ kind: "point" })) {
      if (keys.length % 300 === 0) jobs.finish(jobs.claim("point")[0]!.id, null);
      keys.push(key);
    }
    assert.equal(
      keys.join(),
      numbered(1000)
        .map(({ key }) => key)
        .join(),
    );
    assert.equal([...jobs.list({ state: "done" })].length, 4);
    assert.equal([...jobs.list()].length, 1003);
  });

  it("are listed by their keys, whenever they were added", () => {
    using jobs = openJobs(file, "the work");
    const keys = Array.from({ length: 600 }, (_, index) => `k${String((index * 7) % 600).padStart(3, "0")}`);
    jobs.add(keys.map((key) => ({ kind: "point", key, payload: null })));
    jobs.add(numbered(3, "other"));
    assert.equal([...jobs.listByKey("point")].map(({ key }) => key).join(), keys.toSorted().join());
  });

  it("keep several changes or none", () => {
    using jobs = openJobs(file, "the work");
    const attempt = () =>
      jobs.atomically(() => {
        jobs.add(numbered(2));
        jobs.setItem("tokens", 5);
        throw new Error("stop");
      });
    assert.throws(attempt, /stop/);
    assert.deepEqual(jobs.counts("point"), { pending: 0, running: 0, done: 0, failed: 0 });
    assert.equal(jobs.getItem("tokens"), undefined);
  });

  it("hold what was pinned, and remember answers", () => {
    {
      using jobs = openJobs(file, "the work");
      jobs.pin("settings", { a: 1, b: [2] });
      jobs.remember(requestKey({ model: "m", prompt: "p" }), { answer: "x" });
      jobs.setItem("count", 1);
      jobs.setItem("count", 2);
    }
    using jobs = openJobs(file, "the work");
    jobs.pin("settings", { b: [2], a: 1 });
    assert.throws(() => jobs.pin("settings", { a: 2, b: [2] }), {
      code: "INVALID_OPTION",
      message: /was begun with settings\.a "1", not "2"/,
    });
    assert.deepEqual(jobs.recall(requestKey({ prompt: "p", model: "m" })), { answer: "x" });
    assert.equal(jobs.recall(requestKey({ prompt: "q", model: "m" })), undefined);
    assert.equal(jobs.getItem("count"), 2);
  });

  it("are in the state that a plain table would be in, after any changes and a reopening", () => {
    const operation = fc.record({
      what: fc.constantFrom("add", "claim", "finish", "fail", "release", "retry", "reopen"),
      key: fc.constantFrom("a", "b", "c", "d"),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
        fs.rmSync(file, { force: true });
        let jobs = openJobs(file, "the work");
        const twin = new Map<string, { state: JobState; attempts: number }>();
        for (const { what, key } of operations) {
          const known = twin.get(key);
          if (what === "add") {
            jobs.add([{ kind: "k", key, payload: 0 }]);
            if (!known) twin.set(key, { state: "pending", attempts: 0 });
          } else if (what === "claim") {
            const next = [...twin].find(([, { state }]) => state === "pending");
            assert.equal(jobs.claim("k")[0]?.key, next?.[0]);
            if (next) twin.set(next[0], { state: "running", attempts: next[1].attempts + 1 });
          } else if (what === "retry" || what === "reopen") {
            const from = what === "retry" ? "failed" : "running";
            if (what === "retry") jobs.retryFailed("k");
            else {
              jobs[Symbol.dispose]();
              jobs = openJobs(file, "the work");
            }
            for (const one of twin.values()) if (one.state === from) one.state = "pending";
          } else if (known?.state === "running") {
            const { id } = jobs.find("k", key)!;
            if (what === "finish") jobs.finish(id, key);
            else if (what === "fail") jobs.fail(id, "r");
            else jobs.release(id);
            known.state = what === "finish" ? "done" : what === "fail" ? "failed" : "pending";
            if (what === "release") known.attempts--;
          }
        }
        const states = [...jobs.list()].map(({ key, state, attempts }) => [key, { state, attempts }]);
        jobs[Symbol.dispose]();
        assert.deepEqual(states, [...twin]);
      }),
      { seed: 1, numRuns: 40 },
    );
  });
});

describe("a file of jobs", () => {
  it("belongs to one process, and is free when that one is done", () => {
    {
      using _jobs = openJobs(file, 'the sweep "a"');
      assert.throws(() => openJobs(file, 'the sweep "a"'), { code: "RUN_LOCKED", message: /the sweep "a" is in use/ });
    }
    openJobs(file, "it")[Symbol.dispose]();
    assert.deepEqual(fs.readdirSync(folder), ["jobs.sqlite"]);
  });

  it("loses nothing finished when its process is killed; what was running waits again", async () => {
    const program = `
      import { openJobs } from ${JSON.stringify(new URL("./jobs.ts", import.meta.url).href)};
      const jobs = openJobs(${JSON.stringify(file)}, "the work");
      jobs.add(Array.from({ length: 100_000 }, (_, index) => ({ kind: "k", key: String(index), payload: index })));
      for (;;) for (const job of jobs.claim("k", 3)) {
        jobs.finish(job.id, { twice: 2 * job.payload });
        console.log(job.id);
      }`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(child, "exit");
    const said: number[] = [];
    for await (const line of createInterface(child.stdout)) {
      said.push(Number(line));
      if (said.length === 500) child.kill("SIGKILL");
    }
    await ended;
    using jobs = openJobs(file, "the work");
    const done = new Map([...jobs.list({ state: "done" })].map((job) => [job.id, job]));
    assert.ok(said.length >= 500);
    assert.deepEqual(
      said.filter((id) => JSON.stringify(done.get(id)?.result) !== JSON.stringify({ twice: 2 * (id - 1) })),
      [],
    );
    const { pending, running } = jobs.counts("k");
    assert.deepEqual([pending + done.size, running], [100_000, 0]);
    assert.ok(
      [...jobs.list({ state: "pending" })].slice(0, 3).some(({ attempts }) => attempts === 1) || done.size % 3 === 0,
    );
  });

  it("of another program, another version or no database at all is refused and left as it is", () => {
    const other = new DatabaseSync(file);
    other.exec("CREATE TABLE t (a)");
    other.close();
    assert.throws(() => openJobs(file, "it"), { code: "UNKNOWN_FORMAT", message: /another program/ });
    fs.rmSync(file);
    openJobs(file, "it")[Symbol.dispose]();
    const later = new DatabaseSync(file);
    later.exec("PRAGMA user_version = 2");
    later.close();
    assert.throws(() => openJobs(file, "it"), { code: "UNKNOWN_FORMAT", message: /version 2; this Rookery reads 1/ });
    fs.writeFileSync(file, "no database, but long enough to have a header of one hundred bytes".repeat(4));
    const before = fs.readFileSync(file);
    assert.throws(() => openJobs(file, "it"), { code: "FILE_DAMAGED", message: /no SQLite database/ });
    assert.deepEqual(fs.readFileSync(file), before);
    assert.throws(() => openJobs(path.join(folder, "none", "jobs"), "it"), { code: "FILE_UNWRITABLE" });
    assert.deepEqual(fs.readdirSync(folder), ["jobs.sqlite"]);
  });

  it("is taken over from a process that died with it", () => {
    const program = `
      import { openJobs } from ${JSON.stringify(new URL("./jobs.ts", import.meta.url).href)};
      const jobs = openJobs(${JSON.stringify(file)}, "the work");
      jobs.add([{ kind: "k", key: "a", payload: 1 }]);
      jobs.claim("k");
      process.kill(process.pid, "SIGKILL");`;
    spawnSync(process.execPath, ["--input-type=module", "-e", program]);
    using jobs = openJobs(file, "the work");
    assert.equal(jobs.claim("k")[0]?.attempts, 2);
  });
});

describe("stableJson", () => {
  it("does not depend on the order of keys, and reads back", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const turned = Object.fromEntries(Object.entries(value).reverse());
        assert.equal(stableJson(turned), stableJson(value));
        assert.deepEqual(JSON.parse(stableJson(value)), JSON.parse(JSON.stringify(value)));
      }),
      { seed: 1, numRuns: 200 },
    );
  });
});
