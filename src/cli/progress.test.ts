import assert from "node:assert/strict";
import { test } from "node:test";
import type { RookeryEvent } from "../base/events.ts";
import { Display, showCommonEvents } from "./progress.ts";

function record(options: { isTTY?: boolean; columns?: number; environment?: Record<string, string> } = {}) {
  const clock = { ms: 0 };
  const recorder = {
    text: "",
    isTTY: options.isTTY,
    columns: options.columns,
    write(text: string) {
      recorder.text += text;
    },
  };
  const display = new Display(recorder, { environment: options.environment ?? {}, now: () => clock.ms });
  return { clock, recorder, display, show: showCommonEvents(display) };
}

const progress = (done: number, total?: number): RookeryEvent => {
  const event = { type: "progress" as const, what: "reading", done, unit: "bytes" };
  return total === undefined ? event : { ...event, total };
};

test("a log gets a plain line every few seconds, with rate and time to go", () => {
  const { clock, recorder, show } = record();
  for (let second = 0; second <= 12; second++) {
    clock.ms = second * 1000;
    show(progress(second * 1_000_000, 100_000_000));
  }
  assert.deepEqual(recorder.text.split("\n"), [
    "reading  0%  0/100M bytes",
    "reading  5%  5M/100M bytes  1M bytes/s  1:35 to go",
    "reading  10%  10M/100M bytes  1M bytes/s  1:30 to go",
    "",
  ]);
});

test("the last progress is always shown, with the time it took, and other work starts anew", () => {
  const { clock, recorder, show } = record();
  show(progress(0, 10));
  clock.ms = 2000;
  show(progress(10, 10));
  show({ type: "progress", what: "writing", done: 3, unit: "files" });
  assert.equal(
    recorder.text,
    "reading  0%  0/10 bytes\nreading  100%  10/10 bytes  5 bytes/s  0:02\nwriting  3 files\n",
  );
});

test("a resumed count does not inflate the rate", () => {
  const { clock, recorder, show } = record();
  show(progress(500, 1000));
  clock.ms = 10_000;
  show(progress(600, 1000));
  assert.match(recorder.text, /10 bytes\/s {2}0:40 to go/);
});

test("a terminal gets one line that is redrawn, cut to its width, and ended by what stays", () => {
  const { clock, recorder, display, show } = record({ isTTY: true, columns: 24, environment: { NO_COLOR: "1" } });
  show(progress(0, 100));
  show(progress(1, 100));
  clock.ms = 1000;
  show(progress(20, 100));
  show({ type: "note", message: "a\nnote" });
  show(progress(30, 100));
  display.close();
  assert.equal(
    recorder.text,
    "\r\u001b[2Kreading  0%  0/100 byt…\r\u001b[2Kreading  20%  20/100 b…\r\u001b[2Ka note\n\r\u001b[2Kreading  30%  30/100 b…\r\u001b[2Kreading  30%  30/100 b…\n",
  );
});

test("colors only on a terminal, and not where NO_COLOR or a dumb terminal asks for none", () => {
  const warn = (options: Parameters<typeof record>[0]) => {
    const { recorder, show } = record(options);
    show({ type: "warning", message: "mind" });
    return recorder.text;
  };
  assert.equal(warn({ isTTY: true }), "\u001b[33mwarning: mind\u001b[39m\n");
  assert.equal(warn({ isTTY: true, environment: { NO_COLOR: "1" } }), "warning: mind\n");
  assert.equal(warn({ isTTY: true, environment: { TERM: "dumb" } }), "warning: mind\n");
  assert.equal(warn({}), "warning: mind\n");
});
