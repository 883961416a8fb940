/** The questions of a task, with their shots, from the files of its data set. */
import { RookeryError } from "../../base/errors.ts";
import { PythonRandom } from "../data/python-random.ts";
import { type Row, readRows } from "../data/rows.ts";
import { filesOfSplit, type SplitFile } from "../data/splits.ts";
import { badTask, type ChoiceTask, type GenerateTask, type Item, type TaskDefinition } from "./definition.ts";

export type ItemOptions = {
  /** Instead of the task's own number of shots. */
  shots?: number | undefined;
  /** Only so many questions of each part, the first ones. */
  limit?: number | undefined;
  /** Of the draw of shots. */
  seed: number;
  /** Questions as turns of a chat; shots become turns before it. */
  isChat: boolean;
};

type Part = { part: string; test: Row[]; shots: Row[] };

/**
 * @param files of the data set; none for tasks that make their own rows.
 * @throws RookeryError BAD_DATA naming the file, the row and the column; what reading the files throws.
 */
export async function makeItems(
  task: TaskDefinition,
  files: readonly SplitFile[],
  options: ItemOptions,
): Promise<Item[]> {
  const items: Item[] = [];
  for (const part of await partsOf(task, files, options)) items.push(...itemsOf(task, part, options));
  if (items.length === 0) throw badTask(task.name, "there are no questions", "check the files of its data set");
  return items;
}

async function partsOf(task: TaskDefinition, files: readonly SplitFile[], options: ItemOptions): Promise<Part[]> {
  if (task.make) {
    return [{ part: "", ...task.make({ seed: options.seed, most: options.limit ?? Number.POSITIVE_INFINITY }) }];
  }
  const hasPart = (file: SplitFile) => task.hasPart?.(file.part) ?? true;
  const test = filesOfSplit(files.filter(hasPart), task.splits.test);
  if (test.length === 0) {
    const there = [...new Set(files.map(({ split, part }) => `${part || "data"}: ${split}`))].slice(0, 8).join(", ");
    throw badTask(
      task.name,
      `there is no split ${task.splits.test.join(" or ")} among its files (${there || "there are none"})`,
      `give the folder of the data set${task.hub ? ` ${task.hub}` : ""}, with its files as published`,
    );
  }
  const shotFiles = filesOfSplit(files.filter(hasPart), task.splits.shots ?? []);
  const rowsOf = async (those: readonly SplitFile[], part: string): Promise<Row[]> => {
    const rows: Row[] = [];
    for (const { file } of those) {
      for (const row of await readRows(file, task.headless)) {
        try {
          rows.push(...(task.prepare?.(row, part) ?? [row]));
        } catch (error) {
          throw inFile(error, file, rows.length);
        }
      }
    }
    return rows;
  };
  const parts: Part[] = [];
  for (const [part, those] of Map.groupBy(test, ({ part }) => part)) {
    // data sets of one part may name the files of their splits differently
    const own = shotFiles.filter((file) => file.part === part);
    const shots = await rowsOf(own.length > 0 || test.some((file) => file.part !== part) ? own : shotFiles, part);
    parts.push({ part, test: await rowsOf(those, part), shots });
  }
  return parts;
}

function itemsOf(task: TaskDefinition, { part, test, shots }: Part, options: ItemOptions): Item[] {
  const count = options.shots ?? task.shots.count;
  const isSame = task.splits.shots?.[0] === task.splits.test[0];
  const pool = isSame ? test : shots;
  if (count > pool.length - (isSame ? 1 : 0)) {
    throw badTask(
      task.name,
      `${part ? `${part} has` : "there are"} ${pool.length} rows for ${count} shots`,
      task.splits.shots ? `add its split ${task.splits.shots.join(" or ")}, or give --shots 0` : "give --shots 0",
    );
  }
  const random = new PythonRandom(options.seed);
  return test.slice(0, options.limit).map((row, index) => {
    try {
      const shown = shotsFor(row, pool, { ...task.shots, count, isSame }, random);
      const key = `${part ? `${part}/` : ""}${index}`;
      return itemOf(task, { key, part, row }, shown, options.isChat);
    } catch (error) {
      throw inTask(error, task.name, part, index);
    }
  });
}

/** Where shots come from the questions themselves, one more is drawn, so that the question can be left out. */
function shotsFor(
  row: Row,
  pool: readonly Row[],
  { count, isSame, draw, hasSpare }: TaskDefinition["shots"] & { isSame: boolean },
  random: PythonRandom,
): Row[] {
  if (count === 0) return [];
  const asked = Math.min(isSame || hasSpare ? count + 1 : count, pool.length);
  const drawn =
    draw === "first" ? pool.slice(0, asked) : random.sample(pool.length, asked).map((member) => pool[member]!);
  return drawn.filter((one) => !isSame || one !== row).slice(0, count);
}

function itemOf(
  task: TaskDefinition,
  about: { key: string; part: string; row: Row },
  shots: readonly Row[],
  isChat: boolean,
): Item {
  const description = task.description?.(about.part) ?? "";
  if (task.kind === "choice") {
    const before = description + shots.map((shot) => `${choiceShot(task, shot)}\n\n`).join("");
    return { ...about, kind: "choice", ...choiceParts(task, about.row, before) };
  }
  const references = task.references(about.row);
  if (task.messages) return { ...about, kind: "generate", prompt: task.messages(about.row), references };
  if (isChat) {
    const turns = shots.flatMap((shot) => [
      { role: "user" as const, content: task.prompt(shot) },
      { role: "assistant" as const, content: task.target(shot) },
    ]);
    const question = { role: "user" as const, content: task.prompt(about.row) };
    const system = description.trim() === "" ? [] : [{ role: "system" as const, content: description.trim() }];
    return { ...about, kind: "generate", prompt: [...system, ...turns, question], references };
  }
  const before = description + shots.map((shot) => `${generateShot(task, shot)}\n\n`).join("");
  return { ...about, kind: "generate", prompt: before + task.prompt(about.row), references };
}

function choiceParts(task: ChoiceTask, row: Row, before: string) {
  const contexts = task.contexts(row);
  const choices = task.choices(row);
  const count = Math.max(listOf(contexts).length, listOf(choices).length);
  const gold = task.gold(row);
  if (count < 2 || !(gold >= 0 && gold < count)) {
    throw new RookeryError("BAD_DATA", `the right one is ${gold} of ${count} choices`, "mend the row");
  }
  const each = (texts: string | readonly string[]) =>
    Array.from({ length: count }, (_, at) => (typeof texts === "string" ? texts : texts[at]!));
  const delimiter = task.delimiter ?? " ";
  return {
    contexts: each(contexts).map((context) => before + context),
    continuations: each(choices).map((choice) => delimiter + choice),
    lengths: each(choices).map((choice) => [...choice].length),
    gold,
  };
}

const listOf = (texts: string | readonly string[]): readonly string[] => (typeof texts === "string" ? [texts] : texts);
const at = (texts: string | readonly string[], index: number): string =>
  typeof texts === "string" ? texts : texts[index]!;

function choiceShot(task: ChoiceTask, row: Row): string {
  const gold = task.gold(row);
  return `${at(task.contexts(row), gold)}${task.delimiter ?? " "}${at(task.choices(row), gold)}`;
}

function generateShot(task: GenerateTask, row: Row): string {
  return `${task.prompt(row)}${task.delimiter ?? " "}${task.target(row)}`;
}

function inFile(error: unknown, file: string, index: number): unknown {
  if (!(error instanceof RookeryError)) return error;
  return new RookeryError(error.code, `${file}, row ${index + 1}: ${error.message}`, error.hint);
}

function inTask(error: unknown, name: string, part: string, index: number): unknown {
  if (!(error instanceof RookeryError)) return error;
  const where = `task ${name}, ${part ? `${part}, ` : ""}row ${index + 1}`;
  return new RookeryError(error.code, `${where}: ${error.message}`, error.hint);
}
