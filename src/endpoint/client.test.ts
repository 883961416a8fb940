import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { z } from "zod";
import { Budget } from "./budget.ts";
import { type AnswerStore, type ClientOptions, EndpointClient, endsTheWork } from "./client.ts";
import type { Clock } from "./clock.ts";
import { Endpoint } from "./endpoint.ts";
import type { EndpointFailure } from "./failure.ts";

/** Time that passes only while somebody sleeps. */
class HeldClock implements Clock {
  #now = 0;
  now() {
    return this.#now;
  }
  async sleep(milliseconds: number) {
    const until = this.#now + milliseconds;
    await new Promise(setImmediate);
    this.#now = Math.max(this.#now, until);
  }
}

class MapStore implements AnswerStore {
  readonly answers = new Map<string, unknown>();
  recall(key: string) {
    return this.answers.get(key);
  }
  remember(key: string, answer: unknown) {
    this.answers.set(key, structuredClone(answer));
  }
}

const chat = (content: string, usage?: [number, number], finish = "stop") =>
  Response.json({
    choices: [{ message: { content }, finish_reason: finish }],
    ...(usage ? { usage: { prompt_tokens: usage[0], completion_tokens: usage[1] } } : {}),
  });
const refusal = (status: number, message = "no", headers: Record<string, string> = {}, code?: string) =>
  Response.json({ error: { message, code } }, { status, headers });

type Answer = (body: Record<string, unknown>, number: number) => Response | Promise<Response>;

function clientOf(answer: Answer, options: ClientOptions = {}) {
  const bodies: Record<string, unknown>[] = [];
  const clock = new HeldClock();
  const times: number[] = [];
  const endpoint = new Endpoint({
    url: "http://host:1",
    fetch: (_url, init) => {
      bodies.push(JSON.parse(String(init.body)));
      times.push(clock.now());
      return answer(bodies.at(-1)!, bodies.length);
    },
  });
  return { client: new EndpointClient(endpoint, { clock, ...options }), bodies, clock, times };
}

const ask = (content: string, more: object = {}) => ({
  model: "m",
  messages: [{ role: "user", content }] as const,
  ...more,
});
const kind = (expected: string) => (error: unknown) => (error as EndpointFailure).kind === expected;

describe("a client", () => {
  it("asks again after what passes, later each time, the same way from run to run", async () => {
    const run = async () => {
      const { client, times } = clientOf((_, number) => (number < 4 ? refusal(500) : chat("yes")), { seed: 3 });
      assert.equal((await client.chat(ask("a"))).answer.text, "yes");
      assert.deepEqual(client.counts, { requests: 4, cached: 0, retries: 3, refusedForNow: 0, failed: 0 });
      return times;
    };
    const times = await run();
    const delays = times.slice(1).map((time, index) => time - times[index]!);
    for (const [index, delay] of delays.entries()) {
      assert.ok(delay >= 250 * 2 ** index && delay <= 500 * 2 ** index, String(delays));
    }
    assert.deepEqual(await run(), times);
  });

  it("gives up after its retries, at once where nothing would help, and for good when a server is gone", async () => {
    const gone = clientOf(() => refusal(502), { retries: 2, concurrency: 1 });
    await assert.rejects(gone.client.chat(ask("a")), kind("passing"));
    assert.equal(gone.bodies.length, 3);
    const failures = await Promise.allSettled(Array.from({ length: 9 }, (_, one) => gone.client.chat(ask(`q${one}`))));
    assert.ok(endsTheWork((failures.at(-1) as PromiseRejectedResult).reason));
    for (const [status, code, expected] of [
      [400, undefined, "refused"],
      [401, undefined, "fatal"],
      [404, undefined, "fatal"],
      [429, "insufficient_quota", "fatal"],
    ] as const) {
      const { client, bodies } = clientOf(() => refusal(status, "no", {}, code));
      await assert.rejects(client.chat(ask("a")), kind(expected));
      assert.equal(bodies.length, 1);
    }
  });

  it("takes refusals for the server's until it has answered once", async () => {
    const { client } = clientOf((_, number) => (number === 2 ? chat("yes") : refusal(400)), {
      hasAnswered: false,
      concurrency: 1,
    });
    await assert.rejects(client.chat(ask("a")), kind("passing"));
    await client.chat(ask("b"));
    await assert.rejects(client.chat(ask("c")), kind("refused"));
    const never = clientOf(() => refusal(400), { hasAnswered: false, concurrency: 1 });
    for (let time = 1; time < 8; time++) await assert.rejects(never.client.chat(ask(`${time}`)), kind("passing"));
    await assert.rejects(never.client.chat(ask("8")), kind("fatal"));
  });

  it("leaves a busy server alone for as long as it says, with every request", async () => {
    const { client, times } = clientOf((_, number) =>
      number === 1 ? refusal(429, "slow down", { "retry-after": "7" }) : chat("yes"),
    );
    await Promise.all([client.chat(ask("a")), new Promise(setImmediate).then(() => client.chat(ask("b")))]);
    assert.equal(times.length, 3);
    assert.ok(
      times.slice(1).every((time) => time >= 7000),
      String(times),
    );
    const asks = clientOf(() => refusal(429, "tomorrow", { "retry-after": "86400" }));
    await assert.rejects(asks.client.chat(ask("a")), kind("fatal"));
    assert.equal(asks.bodies.length, 1);
  });

  it("keeps to requests at once and to requests and tokens a minute", async () => {
    let [busy, most] = [0, 0];
    const slow = async () => {
      busy += 1;
      most = Math.max(most, busy);
      await new Promise(setImmediate);
      busy -= 1;
      return chat("yes", [10, 20]);
    };
    const { client } = clientOf(slow, { concurrency: 3 });
    await Promise.all(Array.from({ length: 20 }, (_, one) => client.chat(ask(String(one)))));
    assert.equal(most, 3);

    const byRequests = clientOf(() => chat("yes", [10, 20]), { requestsPerMinute: 30 });
    await Promise.all(Array.from({ length: 5 }, (_, one) => byRequests.client.chat(ask(String(one)))));
    assert.deepEqual(byRequests.times, [0, 2000, 4000, 6000, 8000]);

    const byTokens = clientOf(() => chat("yes", [10, 20]), { tokensPerMinute: 300, concurrency: 1 });
    for (const one of "abc") await byTokens.client.chat(ask(one, { max_tokens: 1 }));
    assert.deepEqual(byTokens.times, [0, 6000, 12000], "the server's counts of 30 tokens hold, not the guess");
  });

  it("never asks twice for what is kept, nor for what is under way", async () => {
    const store = new MapStore();
    const { client, bodies } = clientOf(() => chat("yes", [5, 7]), {
      store,
      price: { promptPerMillion: 1e6, answerPerMillion: 2e6 },
    });
    const [one, two] = await Promise.all([client.chat(ask("a")), client.chat(ask("a"))]);
    assert.equal(one.requestHash, two.requestHash);
    const elsewhere = clientOf(() => chat("no"), { store });
    const again = await elsewhere.client.chat(ask("a"));
    assert.deepEqual(
      [again.answer.text, again.usage, again.isCached],
      ["yes", { promptTokens: 5, answerTokens: 7, money: 19 }, true],
    );
    assert.equal(bodies.length + elsewhere.bodies.length, 1);
    await elsewhere.client.chat(ask("a", { seed: 1 }));
    assert.equal(elsewhere.bodies.length, 1, "another seed is another request");
    await assert.rejects(clientOf(() => refusal(400), { store }).client.chat(ask("b")));
    assert.equal(store.answers.size, 2, "failures are not kept");
  });

  it("counts for itself where a server's counts cannot be", async () => {
    for (const counts of [[-1000, 1] as const, [0.5, 1] as const, [1, -1] as const]) {
      const { usage } = await clientOf(() => chat("yes", [...counts])).client.chat(ask("a question"));
      assert.deepEqual(usage, { promptTokens: 4, answerTokens: 1, money: 0 });
    }
  });

  it("stops before the budget, and uses all of it", async () => {
    const budget = new Budget({ tokens: 100 }, { promptTokens: 10, answerTokens: 0, money: 0 });
    const { client, bodies } = clientOf(() => chat("yes", [10, 10]), { budget, concurrency: 4 });
    const results = await Promise.allSettled(
      Array.from({ length: 9 }, (_, one) => client.chat(ask(String(one), { max_tokens: 29 }))),
    );
    assert.equal(budget.spent.tokens, 90);
    assert.equal(bodies.length, 4, "70 are spent after three, and 30 more fit");
    const { reason } = results.at(-1) as PromiseRejectedResult;
    assert.deepEqual([reason.code, reason.exitCode, endsTheWork(reason)], ["BUDGET_SPENT", 4, true]);
    const money = new Budget({ money: 0.001 });
    const dear = clientOf(() => chat("yes"), { budget: money, price: { promptPerMillion: 0, answerPerMillion: 10 } });
    await assert.rejects(dear.client.chat(ask("a", { max_tokens: 101 })), { code: "BUDGET_SPENT" });
    assert.equal(dear.bodies.length, 0);
  });

  it("gives up an attempt that takes too long, and everything when the signal is raised", async () => {
    const hang: Answer = () => new Promise(() => {});
    const endpoint = new Endpoint({
      url: "http://host:1",
      fetch: (_, init) =>
        new Promise((_resolve, reject) => init.signal!.addEventListener("abort", () => reject(init.signal!.reason))),
    });
    const late = new EndpointClient(endpoint, { timeoutMs: 5, retries: 1, clock: new HeldClock() });
    await assert.rejects(late.chat(ask("a")), /has not answered in 0.005 s/);
    assert.equal(late.counts.requests, 2);
    const controller = new AbortController();
    const { client } = clientOf(hang, { concurrency: 1 });
    const stopping = new EndpointClient(endpoint, { concurrency: 1 });
    const both = Promise.allSettled([
      stopping.chat(ask("a"), controller.signal),
      stopping.chat(ask("b"), controller.signal),
    ]);
    setImmediate(() => controller.abort(new Error("stop")));
    for (const result of await both) assert.equal((result as PromiseRejectedResult).reason.message, "stop");
    await assert.rejects(client.chat(ask("a"), controller.signal), /stop/);
  });

  it("reads log-probabilities of several prompts, in their order", async () => {
    const logprobs = {
      tokens: ["a", "b"],
      token_logprobs: [null, -1],
      top_logprobs: [null, { b: -1 }],
      text_offset: [0, 1],
    };
    const { client, bodies } = clientOf(() =>
      Response.json({
        choices: [
          { text: "cd", index: 1, finish_reason: "length", logprobs },
          { text: "ab", index: 0, finish_reason: "length", logprobs },
        ],
        usage: { prompt_tokens: 4, completion_tokens: 2 },
      }),
    );
    const { answer } = await client.complete({
      model: "m",
      prompt: [[1], [2]],
      echo: true,
      logprobs: 1,
      max_tokens: 1,
    });
    assert.deepEqual(
      answer.choices.map(({ text }) => text),
      ["ab", "cd"],
    );
    assert.deepEqual(answer.choices[0]!.logprobs?.tokenLogprobs, [null, -1]);
    assert.equal(bodies[0]!.echo, true);
  });
});

describe("answers in a form", () => {
  const schema = z.object({ tier: z.int().min(1).max(4), comment: z.string() });

  it("are mended where they nearly are, and asked for once more where not", async () => {
    const near = clientOf(() => chat('Sure!\n```json\n{Tier: "3", comments: \'it\\\'s "fine"\',}\n```'));
    assert.deepEqual((await near.client.chatJson(ask("a"), schema)).value, { tier: 3, comment: 'it\'s "fine"' });
    assert.equal((near.bodies[0]!.response_format as { type: string }).type, "json_schema");

    const second = clientOf((_, number) => chat(number === 1 ? "no idea" : '{"tier": 1, "comment": ""}', [10, 1]));
    const answer = await second.client.chatJson(ask("a"), schema);
    assert.deepEqual([answer.value.tier, answer.usage.promptTokens], [1, 20]);
    assert.match(JSON.stringify(second.bodies[1]!.messages), /no JSON in it/);

    const never = clientOf(() => chat('{"tier": 9, "comment": "x"}'));
    await assert.rejects(never.client.chatJson(ask("a"), schema), kind("malformed"));
    const cut = clientOf(() => chat('{"tier": 2, "comm', undefined, "length"));
    await assert.rejects(cut.client.chatJson(ask("a"), schema), /cut off at the limit/);
  });

  it("are asked for in words alone where the server knows no schema, which is found out once", async () => {
    const { client, bodies } = clientOf((body) =>
      body.response_format ? refusal(400, "response_format is not supported") : chat('{"tier": 2, "comment": "x"}'),
    );
    await client.chatJson(ask("a"), schema);
    await client.chatJson(ask("b"), schema);
    assert.deepEqual(
      bodies.map(({ response_format: format }) => (format as { type: string } | undefined)?.type),
      ["json_schema", "json_object", undefined, undefined],
    );
  });
});
