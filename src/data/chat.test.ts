import assert from "node:assert/strict";
import fs from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import type { RookeryEvent } from "../base/events.ts";
import { chatFaults, readConversation, readPreference } from "./chat.ts";
import { ChatFaults, readChatFiles } from "./chat-files.ts";

const folder = fs.mkdtempSync(path.join(tmpdir(), "rookery-chat-"));
after(() => fs.rmSync(folder, { recursive: true }));

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const messages = [user("How many?"), assistant("Three.")];

test("the three forms say the same conversation", () => {
  const forms = [
    { messages },
    {
      conversations: [
        { from: "human", value: "How many?" },
        { from: "gpt", value: "Three." },
      ],
    },
    { instruction: "How many?", input: "", output: "Three." },
    { prompt: "How many?", completion: "Three." },
    { question: "How many?", answer: "Three." },
    { prompt: [user("How many?")], completion: [assistant("Three.")] },
    {
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "How " },
            { type: "text", text: "many?" },
          ],
        },
        messages[1],
      ],
    },
  ];
  for (const form of forms) assert.deepEqual(readConversation(form), { value: { messages } });
  assert.deepEqual(readConversation({ instruction: "Add", input: "1 2", output: "3", system: "Be brief." }), {
    value: { messages: [{ role: "system", content: "Be brief." }, user("Add\n\n1 2"), assistant("3")] },
  });
});

test("preference pairs come with a prompt of its own, or within the answers", () => {
  const expected = { value: { prompt: [user("a")], chosen: "b", rejected: "c" } };
  assert.deepEqual(readPreference({ prompt: "a", chosen: "b", rejected: "c" }), expected);
  assert.deepEqual(readPreference({ prompt: [user("a")], chosen: [assistant("b")], rejected: "c" }), expected);
  const whole = { chosen: [user("a"), assistant("b")], rejected: [user("a"), assistant("c")] };
  assert.deepEqual(readPreference(whole), expected);
  // many published sets have it in both places
  assert.deepEqual(readPreference({ prompt: "a", ...whole }), expected);
  assert.deepEqual(readPreference({ prompt: [user("a")], ...whole }), expected);
  assert.deepEqual(readPreference({ prompt: null, ...whole }), expected);
  const system = { role: "system" as const, content: "s" };
  assert.deepEqual(
    readPreference({
      prompt: "a",
      chosen: [system, ...whole.chosen],
      rejected: [system, ...whole.rejected],
    }),
    { value: { ...expected.value, prompt: [system, user("a")] } },
  );
});

test("a tool is called and answers, by whatever names", () => {
  const named = (call: string, result: string) => ({
    conversations: [
      { from: "human", value: "How many?" },
      { from: call, value: '{"name": "count"}' },
      { from: result, value: "3" },
      { from: "gpt", value: "Three." },
    ],
  });
  const expected = {
    messages: [user("How many?"), assistant('{"name": "count"}'), { role: "tool", content: "3" }, assistant("Three.")],
  };
  for (const record of [named("function_call", "observation"), named("assistant", "tool"), named("model", "function")])
    assert.deepEqual(readConversation(record), { value: expected });
});

test("what is wrong is named: the role, the fields that are there, a call without a text", () => {
  const detailOf = (reading: object) => ("detail" in reading ? reading.detail : "");
  assert.match(
    String(detailOf(readConversation({ messages: [{ role: "narrator", content: "a" }] }))),
    /turn 0 is of "narrator", who is nobody known/,
  );
  assert.match(String(detailOf(readConversation({ text: "a", label: 1 }))), /its fields: "text", "label"/);
  assert.match(String(detailOf(readPreference({ prompt: "a", chosen: "b" }))), /its fields: "prompt", "chosen"/);
  assert.match(String(detailOf(readPreference({ chosen: "b", rejected: "c" }))), /no prompt/);
  assert.match(String(detailOf(readConversation({ messages: "[]" }))), /what should be a list of turns is/);
  const call = { role: "assistant", content: null, tool_calls: [{ id: "1" }] };
  assert.match(String(detailOf(readConversation({ messages: [user("a"), call] }))), /no text, but calls a tool/);
});

const badConversations: [keyof typeof chatFaults, unknown][] = [
  ["malformed", null],
  ["malformed", ["a"]],
  ["malformed", { messages: ["a"] }],
  ["malformed", { messages: [{ role: "user", content: 3 }] }],
  ["malformed", { messages: [user("\ud800"), assistant("b")] }],
  ["unknownForm", { text: "a" }],
  ["unknownForm", { instruction: "a" }],
  ["wrongRoles", { messages: [] }],
  ["wrongRoles", { messages: [user("a")] }],
  ["wrongRoles", { messages: [assistant("a")] }],
  ["wrongRoles", { messages: [user("a"), user("b"), assistant("c")] }],
  ["wrongRoles", { messages: [user("a"), assistant("b"), assistant("c")] }],
  ["wrongRoles", { messages: [user("a"), { role: "system", content: "b" }, assistant("c")] }],
  ["wrongRoles", { messages: [{ role: "constructor", content: "a" }, assistant("b")] }],
  ["emptyAnswer", { messages: [user("a"), assistant(" \n")] }],
  ["emptyTurn", { messages: [user(""), assistant("b")] }],
];

test("conversations that cannot be learnt from say why", () => {
  for (const [fault, record] of badConversations) {
    const reading = readConversation(record);
    assert.equal("fault" in reading ? reading.fault : "none", fault, JSON.stringify(record));
  }
});

test("pairs that teach nothing, or the wrong thing, say why", () => {
  const bad: [keyof typeof chatFaults, unknown][] = [
    ["equalAnswers", { prompt: "a", chosen: "b", rejected: "b" }],
    ["equalAnswers", { prompt: "a", chosen: " b", rejected: "b\n" }],
    ["emptyAnswer", { prompt: "a", chosen: "", rejected: "b" }],
    ["unknownForm", { prompt: "a", chosen: "b" }],
    ["unknownForm", { prompt: 3, chosen: "b", rejected: "c" }],
    ["wrongRoles", { chosen: [user("a"), assistant("b")], rejected: [user("x"), assistant("c")] }],
    ["wrongRoles", { prompt: [user("a"), assistant("b")], chosen: "c", rejected: "d" }],
    ["unknownForm", { chosen: "b", rejected: "c" }],
  ];
  for (const [fault, record] of bad) {
    const reading = readPreference(record);
    assert.equal("fault" in reading ? reading.fault : "none", fault, JSON.stringify(record));
  }
});

test("any JSON value is read or refused, and never thrown at", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const read of [readConversation, readPreference]) {
        const reading = read(value);
        assert.ok("value" in reading || Object.hasOwn(chatFaults, reading.fault));
      }
    }),
  );
});

test("files are read in every form, and what is left out is counted by reason with its line", async () => {
  const lines = [
    JSON.stringify({ messages }),
    "{broken",
    JSON.stringify({ messages }),
    JSON.stringify({ messages: [user("a")] }),
    JSON.stringify({ messages: [user("a"), assistant("b")] }),
  ];
  fs.writeFileSync(path.join(folder, "a.jsonl"), `${lines.join("\n")}\n`);
  fs.writeFileSync(path.join(folder, "b.json.gz"), gzipSync(JSON.stringify([{ instruction: "x", output: "y" }, 7])));
  const events: RookeryEvent[] = [];
  const context = { onEvent: (event: RookeryEvent) => void events.push(event) };
  const faults = new ChatFaults(context);
  const records = await readChatFiles([folder], readConversation, faults, context);
  assert.deepEqual(
    records.map(({ where, value }) => [path.basename(where), value.messages[0]!.content]),
    [
      ["a.jsonl:1", "How many?"],
      ["a.jsonl:5", "a"],
      ["b.json.gz:1", "x"],
    ],
  );
  assert.deepEqual(faults.counts, { malformed: 2, duplicate: 1, wrongRoles: 1 });
  assert.equal(events.length, 4);
  assert.match(faults.examples[0]!, /a\.jsonl:2: no record \(is not valid JSON\)/);
});

test("nothing usable is an error with the first reason", async () => {
  const file = path.join(folder, "none.jsonl");
  fs.writeFileSync(file, "{}\n");
  const faults = new ChatFaults({});
  await assert.rejects(readChatFiles([file], readConversation, faults, {}), {
    code: "BAD_DATA",
    hint: /none.jsonl:1: none of the forms/,
  });
});

test("a pair and its opposite: the first is kept; white space makes no other record", async () => {
  const file = path.join(folder, "opposites.jsonl");
  const records = [
    { prompt: "a", chosen: "b", rejected: "c" },
    { prompt: "a", chosen: "c", rejected: "b" },
    { prompt: "a ", chosen: "b\n", rejected: " c" },
    { prompt: "a", chosen: "b", rejected: "d" },
  ];
  fs.writeFileSync(file, records.map((record) => JSON.stringify(record)).join("\n"));
  const faults = new ChatFaults({});
  const kept = await readChatFiles([file], readPreference, faults, {});
  assert.deepEqual(
    kept.map(({ where }) => where),
    [`${file}:1`, `${file}:4`],
  );
  assert.deepEqual(faults.counts, { contradiction: 1, duplicate: 1 });
});
