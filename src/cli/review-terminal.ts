/** A review queue in the terminal: one record at a time, a key for each decision. */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { emitKeypressEvents } from "node:readline";
import { styleText } from "node:util";
import type { ReviewField, ReviewRecord } from "../review/decision.ts";
import { viewOf, withText } from "../review/fields.ts";
import type { ReviewItem, ReviewQueue } from "../review/queue.ts";
import type { CommandIo, Terminal } from "./command.ts";
import { oneLine, printable } from "./text.ts";

/** Lines of a text that are shown before `v` is pressed. */
const shownLines = 30;
const clearScreen = "\u001b[2J\u001b[3J\u001b[H";
const help = "a accept  r reject  e edit  u take back  n next  p previous  v whole texts  q quit";

type Key = { name?: string; ctrl?: boolean; sequence?: string };

/** Until all is decided, or the user quits. Every decision is on the disk before the next record is shown. */
export async function reviewInTerminal(
  queue: ReviewQueue,
  { input, output }: Terminal,
  environment: CommandIo["environment"],
  signal: AbortSignal | undefined,
): Promise<void> {
  emitKeypressEvents(input);
  const session = new Session(queue, output, environment);
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  const onKey = (_text: string | undefined, key: Key): void => {
    try {
      const isEnd = key.ctrl
        ? key.name === "c" || key.name === "d"
        : !session.press(
            key,
            () => input.setRawMode(false),
            () => input.setRawMode(true),
          );
      if (isEnd) resolve();
    } catch (error) {
      reject(error);
    }
  };
  const stop = (): void => resolve();
  signal?.addEventListener("abort", stop);
  input.on("keypress", onKey);
  input.setRawMode(true);
  input.resume();
  try {
    if (session.show()) await ended;
  } finally {
    input.setRawMode(false);
    input.off("keypress", onKey);
    input.pause();
    signal?.removeEventListener("abort", stop);
    output.write("\n");
  }
}

class Session {
  readonly #queue: ReviewQueue;
  readonly #output: Terminal["output"];
  readonly #environment: CommandIo["environment"];
  #index: number | undefined;
  #isWhole = false;
  /** The texts of which one is being chosen for editing. */
  #choosing: ReviewField[] | undefined;
  #message = "";

  constructor(queue: ReviewQueue, output: Terminal["output"], environment: CommandIo["environment"]) {
    this.#queue = queue;
    this.#output = output;
    this.#environment = environment;
    this.#index = queue.nextIndex();
  }

  get #item(): ReviewItem {
    return this.#queue.items[this.#index!]!;
  }

  /** False when nothing is left to decide on. */
  show(): boolean {
    if (this.#index === undefined) return false;
    const { record, line, why, key } = this.#item;
    const decision = this.#queue.decisionOn(key);
    const { total, left, accepted, edited, rejected } = this.#queue.progress;
    const { fields, facts } = viewOf(decision?.record ?? record);
    const bold = (text: string) => styleText("bold", text);
    const lines = [
      styleText(
        "dim",
        `${this.#queue.file}:${line}  ${left} of ${total} left, ${accepted} accepted, ${edited} edited, ${rejected} rejected`,
      ),
      ...(decision ? [styleText("yellow", `decided: ${decision.action}`)] : []),
      ...(why ? [styleText("cyan", oneLine(`${why.reason}: ${why.detail}`))] : []),
      ...fields.flatMap(({ label, text }, at) => [
        "",
        bold(this.#choosing ? `${at + 1} ${oneLine(label)}` : oneLine(label)),
        this.#cut(text),
      ]),
      ...(facts.length > 0 ? ["", styleText("dim", oneLine(facts.join("  ")))] : []),
      "",
      ...(this.#message === "" ? [] : [styleText("yellow", oneLine(this.#message))]),
      styleText("dim", this.#choosing ? "which text? its number; any other key goes back" : help),
    ];
    this.#message = "";
    this.#output.write(`${clearScreen}${lines.join("\n")}\n`);
    return true;
  }

  #cut(text: string): string {
    const lines = printable(text).split("\n");
    const most = this.#isWhole ? lines.length : shownLines;
    const rest = lines.length - most;
    return [...lines.slice(0, most), ...(rest > 0 ? [styleText("dim", `… ${rest} more lines: v`)] : [])].join("\n");
  }

  /** False when the review ends. `pause` and `resume` stand around an editor. */
  press({ name, sequence }: Key, pause: () => void, resume: () => void): boolean {
    const chosen = this.#choosing;
    if (chosen !== undefined) {
      this.#choosing = undefined;
      const field = chosen[Number(sequence) - 1];
      return field === undefined ? this.show() : this.#edit(field, pause, resume);
    }
    const { key } = this.#item;
    switch (name) {
      case "a":
        return this.#decide({ key, action: "accept" });
      case "r":
        return this.#decide({ key, action: "reject" });
      case "e":
        return this.#chooseField(pause, resume);
      case "u":
        return this.#takeBack();
      case "n":
      case "right":
        return this.#step(1);
      case "p":
      case "left":
        return this.#step(-1);
      case "v":
        this.#isWhole = !this.#isWhole;
        return this.show();
      case "q":
      case "escape":
        return false;
      default:
        return this.show();
    }
  }

  #step(by: number): boolean {
    const { length } = this.#queue.items;
    this.#index = (this.#index! + by + length) % length;
    return this.show();
  }

  #decide(
    decision: { key: string; action: "accept" | "reject" } | { key: string; action: "edit"; record: ReviewRecord },
  ): boolean {
    this.#queue.decide(decision, new Date());
    this.#isWhole = false;
    this.#index = this.#queue.nextIndex(this.#index);
    return this.show();
  }

  /** The decision on the record that is shown, or else the last one. */
  #takeBack(): boolean {
    const item = this.#queue.decisionOn(this.#item.key) ? this.#item : this.#queue.lastDecided();
    if (item === undefined) return this.show();
    this.#queue.decide({ key: item.key, action: "undo" }, new Date());
    this.#index = this.#queue.items.indexOf(item);
    return this.show();
  }

  #chooseField(pause: () => void, resume: () => void): boolean {
    const { record, key } = this.#item;
    const { fields } = viewOf(this.#queue.decisionOn(key)?.record ?? record);
    if (fields.length === 0) return this.show();
    if (fields.length === 1) return this.#edit(fields[0]!, pause, resume);
    this.#choosing = fields.slice(0, 9);
    return this.show();
  }

  #edit({ path: place, text }: ReviewField, pause: () => void, resume: () => void): boolean {
    const { record, key } = this.#item;
    pause();
    const edited = editedText(text, this.#environment.VISUAL || this.#environment.EDITOR || "vi");
    resume();
    if (edited === undefined) this.#message = "the editor failed: set EDITOR to one that is there, and try again";
    if (edited === undefined || edited === text) return this.show();
    const changed = withText(this.#queue.decisionOn(key)?.record ?? record, place, edited);
    return changed === undefined ? this.show() : this.#decide({ key, action: "edit", record: changed });
  }
}

/** The text as an editor leaves it; undefined if there is no such editor, or it fails. */
function editedText(text: string, editor: string): string | undefined {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-edit-"));
  try {
    const file = path.join(folder, "text.txt");
    // editors end the last line, and would make every text a changed one
    fs.writeFileSync(file, `${text}\n`);
    // EDITOR may bring options of its own
    const { status } = spawnSync("sh", ["-c", `${editor} "$1"`, "sh", file], { stdio: "inherit" });
    return status === 0 ? fs.readFileSync(file, "utf8").replace(/\n$/, "") : undefined;
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}
