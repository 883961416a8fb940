import { styleText } from "node:util";
import type { RookeryEvent } from "../base/events.ts";
import { formatDuration, oneLine, shortNumber } from "./text.ts";

/** The part of a stream that a display writes to: `process.stderr`, or a recorder in tests. */
export type DisplayStream = {
  write(text: string): unknown;
  isTTY?: boolean | undefined;
  columns?: number | undefined;
};

const redrawEveryMs = 100;
const logEveryMs = 5000;

/** Whether escape sequences may be written: https://no-color.org and a terminal that understands them. */
export function wantsColor(stream: DisplayStream, environment: Record<string, string | undefined>): boolean {
  return stream.isTTY === true && (environment.NO_COLOR ?? "") === "" && environment.TERM !== "dumb";
}

/**
 * Where commands show that they live. On a terminal the status is one line that is redrawn; in a log it is
 * a plain line every few seconds. `print` leaves a line for good in both.
 */
export class Display {
  readonly #stream: DisplayStream;
  readonly #now: () => number;
  readonly #hasColor: boolean;
  readonly #isTerminal: boolean;
  #shownAtMs = Number.NEGATIVE_INFINITY;
  #pending: string | undefined;
  #isStatusShown = false;

  /** @param now milliseconds of a clock that never runs backwards */
  constructor(
    stream: DisplayStream,
    options: { environment?: Record<string, string | undefined>; now?: () => number } = {},
  ) {
    const environment = options.environment ?? {};
    this.#stream = stream;
    this.#now = options.now ?? (() => performance.now());
    this.#hasColor = wantsColor(stream, environment);
    this.#isTerminal = stream.isTTY === true && environment.TERM !== "dumb";
  }

  get now(): number {
    return this.#now();
  }

  /** Shows what goes on now; most calls in a quick row are not drawn. `isLast` draws in any case. */
  status(text: string, isLast = false): void {
    const now = this.#now();
    this.#pending = oneLine(text);
    const waitMs = this.#isTerminal ? redrawEveryMs : logEveryMs;
    if (!isLast && now - this.#shownAtMs < waitMs) return;
    this.#shownAtMs = now;
    this.#draw();
    if (isLast) this.#endStatus();
  }

  /** Leaves a line that stays. */
  print(text: string, style?: "warning" | "quiet"): void {
    this.#clearStatus();
    this.#stream.write(
      `${this.paint(oneLine(text), style === "warning" ? "yellow" : style === "quiet" ? "dim" : undefined)}\n`,
    );
  }

  /** The text in a color, where colors are wanted. */
  paint(text: string, color: Parameters<typeof styleText>[0] | undefined): string {
    return this.#hasColor && color !== undefined ? styleText(color, text, { validateStream: false }) : text;
  }

  /** Leaves the last status on the screen, on a line of its own. */
  close(): void {
    if (this.#isTerminal && this.#isStatusShown) this.#draw();
    this.#endStatus();
  }

  #draw(): void {
    if (this.#pending === undefined) return;
    if (!this.#isTerminal) {
      this.#stream.write(`${this.#pending}\n`);
      this.#pending = undefined;
      return;
    }
    const width = Math.max(20, this.#stream.columns ?? 80) - 1; // the last column would wrap the line on some terminals
    const text = this.#pending.length > width ? `${this.#pending.slice(0, width - 1)}…` : this.#pending;
    this.#stream.write(`\r\u001b[2K${this.paint(text, "cyan")}`);
    this.#isStatusShown = true;
  }

  #clearStatus(): void {
    if (this.#isStatusShown) this.#stream.write("\r\u001b[2K");
    this.#isStatusShown = false;
    if (this.#isTerminal) this.#shownAtMs = Number.NEGATIVE_INFINITY;
  }

  #endStatus(): void {
    if (this.#isStatusShown) this.#stream.write("\n");
    this.#isStatusShown = false;
    this.#pending = undefined;
    this.#shownAtMs = Number.NEGATIVE_INFINITY;
  }
}

type Work = { what: string; startedAtMs: number; startedWith: number };

/** Whether the event is one that every command may send. */
export function isCommonEvent(event: { type: string }): event is RookeryEvent {
  return event.type === "progress" || event.type === "note" || event.type === "warning";
}

/** Draws the events that every command may send. */
export function showCommonEvents(display: Display): (event: RookeryEvent) => void {
  let work: Work | undefined;
  return (event) => {
    if (event.type === "note") display.print(event.message);
    else if (event.type === "warning") display.print(`warning: ${event.message}`, "warning");
    else {
      if (work?.what !== event.what) work = { what: event.what, startedAtMs: display.now, startedWith: event.done };
      const isLast = event.total !== undefined && event.done >= event.total;
      display.status(describeProgress(event, work, display.now), isLast);
      if (isLast) work = undefined;
    }
  };
}

function describeProgress(event: Extract<RookeryEvent, { type: "progress" }>, work: Work, now: number): string {
  const { what, done, total, unit } = event;
  const elapsedSeconds = (now - work.startedAtMs) / 1000;
  const perSecond = elapsedSeconds > 0 ? (done - work.startedWith) / elapsedSeconds : 0;
  const parts = [what];
  if (total === undefined || total <= 0) parts.push(`${shortNumber(done)} ${unit}`);
  else
    parts.push(
      `${Math.floor((100 * Math.min(done, total)) / total)}%`,
      `${shortNumber(done)}/${shortNumber(total)} ${unit}`,
    );
  if (perSecond > 0) {
    parts.push(`${shortNumber(perSecond)} ${unit}/s`);
    if (total !== undefined && done < total) parts.push(`${formatDuration((total - done) / perSecond)} to go`);
    else parts.push(formatDuration(elapsedSeconds));
  }
  return parts.join("  ");
}
