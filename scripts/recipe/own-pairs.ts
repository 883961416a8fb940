/**
 * Preference pairs of a model's own mistakes: the questions of tasks/preferences.jsonl are answered by it, and what is wrong stands
 * against the right answer. As many questions that it answers rightly keep their made-up mistake, so that they are not forgotten.
 */
import { writeJsonLines } from "../../src/base/files.ts";
import { readJsonLines } from "../json-lines.ts";

type Pair = {
  prompt: { role: string; content: string }[];
  chosen: string;
  rejected: string;
  id: string;
  family: string;
};
type Answer = { id: string; given: string; isRight: boolean };

/** Of a family with many questions, one of so many is asked. */
const stride = 4;
const fewQuestions = 2000;
/** A set in which families count alike takes at most so many pairs of each. */
const mostOfFamily = 1500;

/**
 * Writes two sets: as families come, and with families alike, since small ones are forgotten between large ones.
 * @param answer answers the questions of a file, into another: `rookery tasks score`.
 */
export function writeOwnPairs(
  pairsFile: string,
  out: { asTheyCome: string; balanced: string },
  answer: (questions: string, answers: string) => void,
): void {
  const all = readJsonLines<Pair>(pairsFile);
  const families = Map.groupBy(all, ({ family }) => family);
  const asked = all.filter(({ family }, index) => index % stride === 0 || families.get(family)!.length < fewQuestions);
  const questions = `${out.asTheyCome}.questions.jsonl`;
  const answers = `${out.asTheyCome}.answers.jsonl`;
  const conversations = asked.map(({ prompt, chosen, rejected: _, ...rest }) => {
    return { messages: [...prompt, { role: "assistant", content: chosen }], ...rest };
  });
  writeJsonLines(questions, conversations);
  answer(questions, answers);
  const given = new Map(readJsonLines<Answer>(answers).map((one) => [one.id, one]));
  const own: Pair[] = [];
  const known: Pair[] = [];
  for (const pair of asked) {
    const said = given.get(pair.id);
    if (!said || said.given.trim() === "") continue;
    if (said.isRight) known.push(pair);
    else own.push({ ...pair, rejected: said.given });
  }
  const step = Math.max(1, known.length / own.length);
  const spread = known.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step));
  writeJsonLines(out.asTheyCome, [...own, ...spread]);
  const alike = [...Map.groupBy([...own, ...known], ({ family }) => family).values()];
  writeJsonLines(
    out.balanced,
    alike.flatMap((pairs) => pairs.slice(0, mostOfFamily)),
  );
}
