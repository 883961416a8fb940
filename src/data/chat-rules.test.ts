import assert from "node:assert/strict";
import { test } from "node:test";
import { conversationReader, preferenceReader } from "./chat.ts";
import { brokenRule, type ChatRule, chatRuleNames } from "./chat-rules.ts";

const long = "The colony stands close together through the winter, and every bird takes its turn on the outside. ";
const faultOf = (answer: string, question = "Tell me."): ChatRule | undefined =>
  brokenRule(
    [
      { role: "user", content: question },
      { role: "assistant", content: answer },
    ],
    chatRuleNames,
  )?.fault;

test("each rule finds what it is for", () => {
  const cases: [ChatRule, string][] = [
    ["truncated", `${long}They walk to the sea and`],
    ["truncated", `${long}First,`],
    ["truncated", `${"帝企鹅在冬天繁殖。".repeat(10)}它们住在南极洲，`],
    ["truncated", "```js\nlet a = 1;"],
    ["garbled", `caf\ufffd\ufffd ${long}\ufffd\ufffd\ufffd`],
    ["garbled", "CafÃ© crÃ¨me, dÃ©jÃ\u00a0 vu"],
    ["garbled", "a\u0000b"],
    ["repetitive", "I do not know. ".repeat(60)],
    ["leftover", "Hello<|im_end|>"],
    ["leftover", "Hello [/INST] there"],
    ["leftover", "Assistant: hello"],
    ["leftover", "助手：你好"],
  ];
  for (const [fault, answer] of cases) assert.equal(faultOf(answer), fault, answer);
  assert.equal(faultOf(long, long), "echo");
});

test("what is right is left alone, in any script and form", () => {
  const answers = [
    "12",
    "apple, and, or, the",
    "Tuesday",
    "a",
    "42, 17, 3,",
    long,
    `${long}It needs vitamin A`,
    `${long}\n- one\n- two`,
    "```py\nprint(1)\n```",
    "帝企鹅在冬天繁殖。".repeat(5),
    "مرحبا بالعالم، كيف حالك؟",
    "Ça va à l’école, garçon; ærø, æble, ähnlich: äåæçèé",
    "🐧🐧🐧",
    "The dialogue:\nHuman: hello\nBird: squawk",
    "Use `a < b` and x|y|z.",
    `${long}${"1 2 3 4 5 6 7 8 9 10 ".repeat(3)}`,
  ];
  for (const answer of answers) assert.equal(faultOf(answer), undefined, answer);
});

test("rules are asked for by name; a rejected answer may break them", () => {
  const record = { prompt: "Hi", chosen: "Hello.", rejected: "Hello<|im_end|>" };
  assert.ok("value" in preferenceReader({ rules: chatRuleNames })(record));
  const broken = { ...record, chosen: record.rejected, rejected: "No." };
  assert.deepEqual(preferenceReader({ rules: chatRuleNames })(broken), {
    fault: "leftover",
    detail: 'holds "<|im_end|>"',
  });
  assert.ok("value" in preferenceReader({ rules: ["truncated"] })(broken));
  const turns = {
    talk: [
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
    ],
  };
  assert.ok("value" in conversationReader({ rules: [], turnField: "talk" })(turns));
  assert.ok("fault" in conversationReader({ rules: [] })(turns));
});
