import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { comparableOf, isSameAnswer, type ReadableKind } from "./comparable.ts";
import { quantitiesOf } from "./quantity.ts";

function isSame(kind: ReadableKind, a: string, b: string, instruction = ""): boolean {
  const [first, second] = [a, b].map((text) => comparableOf(kind, text, instruction));
  return first !== undefined && second !== undefined && isSameAnswer(first, second) && isSameAnswer(second, first);
}

describe("numbers", () => {
  const equal: [string, string][] = [
    ["42", "The answer is 42."],
    ["1,234", "1234"],
    ["So there are 3 boxes of 14.\nAnswer: 42 apples", "Answer: **42**"],
    ["12 × 3 = 36", "36"],
    ["#### 18", "18.0"],
    ["Thus \\boxed{\\frac{3}{4}}", "0.75"],
    ["$\\frac{1}{2}$", "1/2"],
    ["答案：１２个", "12"],
    ["一共是12个苹果。", "12"],
    ["−5", "-5"],
    ["2 km", "2000 m"],
    ["2 kilometers", "2"],
    ["90 minutes", "1.5 hours"],
    ["1小时", "60分钟"],
    ["3千克", "3000克"],
    ["20%", "0.2"],
    ["20 percent", "20"],
    ["$1,200.50", "1200.5"],
    ["3 × 10^8 m/s", "300000000 m/s"],
    ["1.5e3", "1500"],
    ["1.5 million", "1500000"],
    ["3万", "30000"],
    ["1 1/2 cups", "1.5"],
    ["seven", "7"],
    ["七", "7"],
  ].map(([a, b]) => [a!, b!]);
  for (const [a, b] of equal) test(`${a} is ${b}`, () => assert.ok(isSame("number", a, b)));

  const different: [string, string][] = [
    ["42", "43"],
    ["2 km", "2 m"],
    ["2 km", "2 kg"],
    ["0.2", "20"],
    ["-5", "5"],
    ["3 hours", "3 minutes"],
    ["1/3", "0.333"],
    ["$5", "5 yuan"],
  ];
  for (const [a, b] of different) test(`${a} is not ${b}`, () => assert.ok(!isSame("number", a, b)));

  test("words without a number have no value", () => {
    for (const text of ["I do not know", "", "很多"]) assert.equal(comparableOf("number", text, ""), undefined);
  });

  test("any number is read as itself, alone and in a sentence, in time that grows with the length", () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e9, max: 1e9 }), (value) => {
        assert.equal(quantitiesOf(`It is ${value}.`).at(-1)!.value, value);
        assert.equal(quantitiesOf(value.toLocaleString("en-US"))[0]!.value, value);
      }),
      { seed: 1 },
    );
    quantitiesOf("1,".repeat(50_000));
    quantitiesOf("9".repeat(100_000));
    quantitiesOf(" ".repeat(100_000));
    quantitiesOf("1 / ".repeat(30_000));
  });
});

test("choices are told by their letter, or by their text", () => {
  const instruction = "Which is the largest?\nA. the Sun\nB. the Moon\nC. the Earth";
  for (const text of [
    "A",
    "(A)",
    "A.",
    "A) the Sun",
    "The answer is A",
    "答案是A",
    "**A**",
    "the sun",
    "\\boxed{A}",
    "Answer: A",
    "选 A",
  ]) {
    assert.equal(comparableOf("choice", text, instruction)?.key, "A", text);
  }
  for (const text of ["It depends", "A or B", "", "both"]) {
    assert.equal(comparableOf("choice", text, instruction), undefined, text);
  }
  assert.equal(comparableOf("choice", "地球", "哪个最大？A. 太阳 B. 月亮 C. 地球")?.key, "C");
});

test("phrases are the same without quotes, articles, case and marks", () => {
  assert.ok(isSame("phrase", 'The answer is "Mount Everest".', "mount everest"));
  assert.ok(isSame("phrase", "Answer: the Nile", "Nile."));
  assert.ok(isSame("phrase", "答案：《红楼梦》", "红楼梦。"));
  assert.ok(isSame("phrase", "a, b,c", "a、b、 c"));
  assert.ok(!isSame("phrase", "Nile", "Amazon"));
  assert.equal(comparableOf("phrase", " ... ", ""), undefined);
});

test("JSON is the same in any order, spacing, fence, and way of writing numbers", () => {
  assert.ok(isSame("json", '```json\n{"a": 1, "b": ["x "]}\n```', 'Here: {"b":["x"],"a":"1"}'));
  assert.ok(!isSame("json", '{"a": [1, 2]}', '{"a": [2, 1]}'));
  for (const text of ["no object at all", '{"a": [1, 2', "{'a': 1}", "}{"]) {
    assert.equal(comparableOf("json", text, ""), undefined, text);
  }
});
