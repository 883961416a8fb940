import assert from "node:assert/strict";
import { it } from "node:test";
import { finalAnswerOf } from "../prompts/answer.ts";
import { instructionFault } from "./instruction-rules.ts";
import { similarity } from "./similarity.ts";

it("instructions are judged by what can be seen of them", () => {
  const cases: [text: string, language: string, reason: string | undefined][] = [
    ["How do tides work?", "en", undefined],
    ["What is 21 ÷ 3?", "en", undefined],
    ["14 + 45 等于多少？", "zh", undefined],
    ["请解释 TCP 和 UDP 的区别。", "zh", undefined],
    ["ما سبب المد والجزر؟", "ar", undefined],
    ["چرا آب دریا بالا می‌آید؟", "fa", undefined],
    ["Защо морето се покачва?", "bg", undefined],
    ["კითხვა ზღვის შესახებ: რატომ?", "ka", undefined],
    ["なぜ潮は満ちるのですか？", "ja", undefined],
    ["조수는 왜 생기나요?", "ko", undefined],
    ["How do tides work?", "fa", "wrong-language"],
    ["Tides: why?", "klingon", undefined],
    ["603,120,980,33、612、1、43、9,8、69、61、80en25、72", "zh", "few-words"],
    ["According to the passage, what rises?", "en", "refers-to-source"],
    ["根据上述文章，海水为什么上涨？", "zh", "refers-to-source"],
    ["How do I write a good article about tides?", "en", undefined],
    ["How do tides work?", "zh", "wrong-language"],
    ["海水为什么会涨落？", "en", "wrong-language"],
    ["I'm sorry, but I cannot help.", "en", "refusal"],
    ["抱歉，我不能回答。", "zh", "refusal"],
    ["Rewritten prompt: how do tides work?", "en", "refers-to-prompt"],
    ["?", "en", "empty"],
    ["x ".repeat(5000), "en", "too-long"],
  ];
  for (const [text, language, reason] of cases) {
    assert.equal(instructionFault(text, { language, hasPassage: false }, "generate")?.reason, reason, text);
  }
});

it("texts are as alike as the letters that they share", () => {
  assert.equal(similarity("How do tides work?", "how do TIDES work"), 1);
  assert.ok(similarity("How do tides work?", "How do tides work here?") > 0.6);
  assert.ok(similarity("海水为什么会涨落？", "茶叶什么时候采摘？") < 0.1);
  assert.equal(similarity("", "!"), 1);
});

it("the final answer stands behind its word", () => {
  for (const [text, answer] of [
    ["First 3, then 4.\nAnswer: 12 km", "12 km"],
    ["**Final answer:** **B**", "B"],
    ["先加后乘。\n答案：42", "42"],
    ["Answer: 1\nNo.\nAnswer: 2\n", "2"],
    [" 7 ", "7"],
  ] as const) {
    assert.equal(finalAnswerOf(text), answer);
  }
});
