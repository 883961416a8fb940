/**
 * Preference pairs of a model's own mistakes: the questions of tasks/preferences.jsonl are answered by it, and what is wrong stands
 * against the right answer. As many questions that it answers rightly keep their made-up mistake, so that they are not forgotten.
 */
import fs from "node:fs";

type Pair = { prompt: { role: string; content: string }[]; chosen: string; rejected: string; id: string };
type Answer = { id: string; given: string; isRight: boolean };

/** One question of so many is asked. */
const stride = 4;

const linesOf = <Value>(file: string) =>
  fs
    .readFileSync(file, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Value);
const writeLines = (file: string, values: readonly object[]) =>
  fs.writeFileSync(file, values.map((value) => `${JSON.stringify(value)}\n`).join(""));

/** @param answer answers the questions of a file, into another: `rookery tasks score`. */
export function writeOwnPairs(
  pairsFile: string,
  out: string,
  answer: (questions: string, answers: string) => void,
): void {
  const asked = linesOf<Pair>(pairsFile).filter((_, index) => index % stride === 0);
  const [questions, answers] = [`${out}.questions`, `${out}.answers`];
  const conversations = asked.map(({ prompt, chosen, rejected: _, ...rest }) => {
    return { messages: [...prompt, { role: "assistant", content: chosen }], ...rest };
  });
  writeLines(`${questions}.jsonl`, conversations);
  answer(`${questions}.jsonl`, `${answers}.jsonl`);
  const given = new Map(linesOf<Answer>(`${answers}.jsonl`).map((one) => [one.id, one]));
  const own: Pair[] = [];
  const known: Pair[] = [];
  for (const pair of asked) {
    const said = given.get(pair.id);
    if (!said || said.given.trim() === "") continue;
    if (said.isRight) known.push(pair);
    else own.push({ ...pair, rejected: said.given });
  }
  const step = known.length / own.length;
  const kept = own.map((_, index) => known[Math.floor(index * step)]!);
  writeLines(out, [...own, ...(step < 1 ? known : kept)]);
}
