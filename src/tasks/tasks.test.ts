import assert from "node:assert/strict";
import { test } from "node:test";
import { familiesNamed, makeTask, makeTasks, splitOfQuestion, taskFamilies, taskSplits } from "./generate.ts";
import { taskPreference } from "./records.ts";
import { isRight, normalizeAnswer, reportTasks } from "./score.ts";
import { taskLanguages } from "./task.ts";

const settings = { needleCharacters: 400 };
const dictionary = (["noun", "verb", "adj", "adv"] as const).flatMap((kind) =>
  Array.from({ length: 30 }, (_, i) => ({ word: `${kind}word${i}`, kind, meaning: `the ${i}th meaning of ${kind}` })),
);
const families = taskFamilies(dictionary);

for (const family of families) {
  test(`${family.name}: the same again, splits apart, and wrong answers that are wrong`, () => {
    const questions: Record<string, Set<string>> = { train: new Set(), test: new Set() };
    for (const language of family.languages) {
      for (const split of taskSplits) {
        for (let index = 0; index < 150; index++) {
          const task = makeTask(family, language, split, { seed: 1, index }, settings);
          assert.deepEqual(task, makeTask(family, language, split, { seed: 1, index }, settings));
          assert.ok(task.wrong.length > 0, task.question);
          assert.ok(isRight(task, task.answer), task.question);
          for (const wrong of task.wrong) assert.ok(!isRight(task, wrong), `${task.question}: ${wrong}`);
          assert.ok(task.answer === task.answer.trim() && task.answer !== "", task.question);
          questions[split]!.add(task.question);
        }
      }
    }
    assert.ok(questions.train!.size > 20, `only ${questions.train!.size} questions`);
    if (!family.isUnseen) assert.ok([...questions.test!].every((question) => !questions.train!.has(question)));
  });
}

const bySums: Record<string, (question: string) => string | undefined> = {
  arithmetic(question) {
    const [, a, sign, b] = /(\d+) ([+\-×÷]) (\d+)/.exec(question)!;
    const [x, y] = [Number(a), Number(b)];
    return String(sign === "+" ? x + y : sign === "-" ? x - y : sign === "×" ? x * y : x / y);
  },
  comparison(question) {
    const numbers = question.match(/\d+/g)!.map(Number);
    return String(/largest|大/.test(question) ? Math.max(...numbers) : Math.min(...numbers));
  },
  counting(question) {
    const [text, asked] = question.split("\n");
    const wanted = /["“](.+?)["”]/.exec(asked!)![1];
    return String(text!.split(" ").filter((word) => word === wanted).length);
  },
  needles(question) {
    const lines = question.split("\n");
    const who = /code of (\w+)\?|^(.+)的密码是多少/.exec(lines[1]!)!;
    const name = who[1] ?? who[2]!;
    return new RegExp(`(?:code of ${name} is |${name}的密码是)(\\d+)`).exec(lines[0]!)![1];
  },
};

for (const [name, solve] of Object.entries(bySums)) {
  test(`${name}: the answers are those of the questions, worked out another way`, () => {
    const [family] = familiesNamed(families, [name]);
    for (const task of makeTasks({
      families: [family!],
      languages: taskLanguages,
      split: "test",
      count: 200,
      seed: 5,
      settings,
    })) {
      assert.equal(task.answer, solve(task.question), task.question);
    }
  });
}

test("dates and weekdays agree with the calendar", () => {
  const [dates] = familiesNamed(families, ["dates"]);
  for (let index = 0; index < 200; index++) {
    const task = makeTask(dates!, "en", "train", { seed: 2, index }, settings);
    const [, by, date] = /is (\d+) days after (\w+ \d+),/.exec(task.question)!;
    const expected = new Date(`${date}, 2023 12:00 UTC`);
    expected.setUTCDate(expected.getUTCDate() + Number(by));
    const shown = expected.toLocaleDateString("en-US", { month: "long", day: "numeric", timeZone: "UTC" });
    assert.equal(task.answer, shown, task.question);
  }
});

test("lists go around the families and languages; another seed gives other tasks", () => {
  const select = (seed: number) => [
    ...makeTasks({ families, languages: taskLanguages, split: "train", count: 60, seed, settings }),
  ];
  const kinds = new Set(select(1).map(({ family, language }) => `${family} ${language}`));
  assert.equal(
    kinds.size,
    families.reduce((sum, family) => sum + family.languages.length, 0),
  );
  assert.notDeepEqual(select(1), select(2));
  assert.throws(() => familiesNamed(families, ["arithmetics"]), /no family of tasks "arithmetics"/);
});

test("answers are compared as a reader would", () => {
  assert.equal(normalizeAnswer(" ４２ 。"), "42");
  for (const answer of ["42", " 42\n", "42.", "４２", "42。"]) assert.ok(isRight({ answer: "42" }, answer), answer);
  for (const answer of ["4 2", "", "42.5", "It is 42"]) assert.ok(!isRight({ answer: "42" }, answer), answer);
  assert.ok(!isRight({ answer: "CUP" }, "cup"));
  assert.ok(isRight({ answer: "." }, "."));
});

test("a report has every family, and its macro average counts them alike", () => {
  const results = [true, true, true, false].map((isRight) => ({ family: "a", isRight }));
  const report = reportTasks([...results, { family: "b", isRight: false }]);
  assert.deepEqual(report.families, [
    { family: "a", count: 4, right: 3, exactMatch: 0.75 },
    { family: "b", count: 1, right: 0, exactMatch: 0 },
  ]);
  assert.equal(report.exactMatch, 0.6);
  assert.equal(report.macroExactMatch, 0.375);
});

test("a preference pair has the right answer and a wrong one, always the same", () => {
  const task = makeTask(families[0]!, "en", "train", { seed: 1, index: 3 }, settings);
  const pair = taskPreference(task, 9);
  assert.deepEqual(pair, taskPreference(task, 9));
  assert.equal(pair.chosen, task.answer);
  assert.ok(task.wrong.includes(pair.rejected));
  assert.equal(splitOfQuestion(task.question), "train");
});
