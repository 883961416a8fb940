import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { FakeRun } from "../../test/pages/fake-run.ts";
import { startDashboard } from "./dashboard.ts";
import { RunMetrics } from "./run-metrics.ts";
import { createTrainingRoutes } from "./training.ts";
import type { TrainingSnapshot, TrainingUpdate } from "./training-wire.ts";

test("a run is read from its first step to its last, and tells whether it goes on", async () => {
  using run = new FakeRun(20);
  const metrics = new RunMetrics(run.folder);
  await metrics.refresh();
  assert.equal(metrics.snapshot().status, "stopped");
  assert.deepEqual(metrics.snapshot().rows.step, []);
  run.start();
  run.train(3);
  run.evaluate(1.5);
  await metrics.refresh();
  const snapshot = metrics.snapshot();
  assert.equal(snapshot.status, "running");
  assert.equal(snapshot.name, "penguins");
  assert.equal(snapshot.totalSteps, 20);
  assert.equal(snapshot.tokens, 3 * 4096);
  assert.deepEqual(snapshot.settings, { preset: "nano", batchTokens: 4096, routing: "recycle" });
  assert.deepEqual(snapshot.rows.step, [1, 2, 3]);
  assert.equal(snapshot.rows.loss[0], 7.45455);
  assert.deepEqual(snapshot.evaluations, [{ step: 3, bitsPerByte: 1.5, crossEntropy: 3.75 }]);
  // 1025 of 1025 + 7 · 440 tokens, over an eighth
  assert.deepEqual(snapshot.rows.load[0]![0], [2, 0.86, 0.86, 0.86, 0.86, 0.86, 0.86, 0.86]);
  run.finish();
  await metrics.refresh();
  assert.equal(metrics.snapshot().status, "finished");
});

test("stages are told with their steps in the whole run; a damaged one tells none", () => {
  const stage = { name: "4x", steps: 5, sequenceLength: 1024, batchTokens: 8192, ropeTheta: 40_000 };
  const stretchesOf = (more: Record<string, unknown>) => {
    using run = new FakeRun(20, { sequenceLength: 256, ...more });
    const { stretches, totalSteps } = new RunMetrics(run.folder).snapshot();
    return { stretches, totalSteps };
  };
  const told = { ...{ sequenceLength: 1024, batchTokens: 8192, ropeTheta: 40_000, ropeAlpha: null }, name: "4x" };
  assert.deepEqual(stretchesOf({ stages: [stage] }), {
    stretches: [
      {
        ...{ name: "pre-training", firstStep: 1, lastStep: 20, sequenceLength: 256, batchTokens: 4096 },
        ...{ ropeTheta: null, ropeAlpha: null },
      },
      { ...told, firstStep: 21, lastStep: 25 },
    ],
    totalSteps: 25,
  });
  assert.deepEqual(stretchesOf({ stages: [stage], from: "base" }).stretches, [{ ...told, firstStep: 1, lastStep: 5 }]);
  assert.deepEqual(stretchesOf({ stages: [{ ...stage, steps: "many" }] }), { stretches: [], totalSteps: 20 });
  assert.deepEqual(stretchesOf({ stages: [] }), { stretches: [], totalSteps: 20 });
});

test("lines that come in pieces, that are no metrics, or that do not fit, do no harm", async () => {
  using run = new FakeRun(20);
  const metrics = new RunMetrics(run.folder);
  run.train(1);
  run.write('{"step":2,"kind":"step","crossEnt');
  await metrics.refresh();
  assert.deepEqual(metrics.snapshot().rows.step, [1]);
  run.write('ropy":3,"layers":[{"load":[1]}]}\nnot json\n[1]\n{"step":"x"}\n{"step":4,"kind":"other"}\n');
  run.write('{"step":5,"kind":"step","crossEntropy":null,"layers":"none"}\n{"step":6,"kind":"evaluation"}\n');
  run.write(`{"step":7,"kind":"step","padding":"${"x".repeat(9 << 20)}"}\n`);
  run.write('{"step":8,"kind":"step","crossEntropy":1}\n');
  await metrics.refresh();
  const { rows, evaluations } = metrics.snapshot();
  assert.deepEqual(rows.step, [1, 2, 5, 8]);
  assert.deepEqual(rows.loss.slice(1), [3, null, 1]);
  assert.deepEqual(rows.load[0]![1], [0, 0, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual(evaluations, []);
});

test("a long run keeps at most 1,024 rows: each the mean of its steps, and of memory the most", async () => {
  using run = new FakeRun(5000);
  const metrics = new RunMetrics(run.folder);
  run.train(2050);
  await metrics.refresh();
  const { rows, stepsPerRow } = metrics.snapshot();
  assert.equal(stepsPerRow, 4);
  assert.equal(rows.step.length, 513);
  assert.deepEqual(rows.step.slice(0, 3), [4, 8, 12]);
  assert.equal(rows.step.at(-1), 2050);
  const losses = [1, 2, 3, 4].map((step) => 2 + 6 / (1 + step / 10));
  assert.equal(rows.loss[0], Number((losses.reduce((sum, loss) => sum + loss) / 4).toPrecision(6)));
  assert.equal(rows.peakMemoryBytes[0], 1.004e9);
  assert.equal(rows.load[1]!.length, 513);
});

async function* eventsOf(response: Response): AsyncGenerator<{ event: string; data: unknown }> {
  let text = "";
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    text += piece;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
      const [, event, data] = /^event: (\w+)\ndata: (.*)$/s.exec(text.slice(0, end)) ?? [];
      text = text.slice(end + 2);
      if (event !== undefined) yield { event, data: JSON.parse(data!) };
    }
  }
}

test("events tell what is added, everything when a run is cut back, and end with the server", async () => {
  using run = new FakeRun(20);
  run.start();
  run.train(2);
  const server = new AbortController();
  const app = createTrainingRoutes(run.folder, { signal: server.signal, pollMilliseconds: 1 });
  const events = eventsOf(await app.request("/training/events"));
  const first = (await events.next()).value!;
  assert.equal(first.event, "snapshot");
  assert.deepEqual((first.data as TrainingSnapshot).rows.step, [1, 2]);
  run.train(2);
  const added: number[] = [];
  while (added.length < 2) {
    const { event, data } = (await events.next()).value!;
    assert.equal(event, "rows");
    added.push(...(data as TrainingUpdate).rows.step);
  }
  assert.deepEqual(added, [3, 4]);
  run.cut();
  run.train(1);
  for (;;) {
    const { event, data } = (await events.next()).value!;
    assert.equal(event, "snapshot");
    if ((data as TrainingSnapshot).rows.step.length === 1) break;
  }
  server.abort();
  assert.equal((await events.next()).done, true);
});

test("the figures are also there at once, as JSON", async () => {
  using run = new FakeRun(20);
  run.train(2);
  const response = await createTrainingRoutes(run.folder).request("/training/data");
  const snapshot = (await response.json()) as TrainingSnapshot;
  assert.equal(snapshot.format, "rookery-training/1");
  assert.equal(snapshot.rows.step.length, 2);
});

test("a folder that is no run's is refused", () => {
  assert.throws(() => createTrainingRoutes("/nowhere"), { code: "FILE_UNREADABLE" });
});

test("the dashboard serves from a thread of its own, to this machine's names alone", async () => {
  using run = new FakeRun(20);
  run.train(2);
  const dashboard = await startDashboard({ runFolder: run.folder, host: "127.0.0.1", port: 0 });
  try {
    assert.match(await (await fetch(dashboard.url)).text(), /<title>/);
    const data = (await (await fetch(`${dashboard.url}/data`)).json()) as TrainingSnapshot;
    assert.equal(data.name, "penguins");
    assert.equal((await fetch(new URL("/", dashboard.url))).url, dashboard.url);
    const port = Number(new URL(dashboard.url).port);
    await assert.rejects(startDashboard({ runFolder: run.folder, host: "127.0.0.1", port }), {
      code: "INVALID_OPTION",
    });
    await assert.rejects(startDashboard({ runFolder: "/nowhere", host: "127.0.0.1", port: 0 }), {
      code: "FILE_UNREADABLE",
    });
  } finally {
    await dashboard.close();
  }
  assert.ok(existsSync(run.folder));
});
