import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { type ChatMessage, type ChatRole, chatToText, encodeChat, renderChat } from "./chat-template.ts";
import { Tokenizer } from "./tokenizer.ts";

const fixtures = path.join(import.meta.dirname, "../../test/oracle/fixtures");
const tokenizer = await Tokenizer.load(path.join(fixtures, "tokenizer"));

type ReferenceChat = { messages: ChatMessage[]; rendered: string; ids: number[] };
const reference: ReferenceChat[] = JSON.parse(
  fs.readFileSync(path.join(fixtures, "tokenizer-transformers.json"), "utf8"),
).chats;

const chat = (...turns: [ChatRole, string][]): ChatMessage[] => turns.map(([role, content]) => ({ role, content }));

test("the segments are the text that transformers renders from the saved template", () => {
  for (const { messages, rendered } of reference) assert.equal(chatToText(renderChat(messages)), rendered);
});

test("the ids of a chat are those of its rendered text", async () => {
  for (const { messages, ids } of reference) {
    // An assistant's answer is encoded by itself; only where bare text touches one may the two differ.
    assert.deepEqual([...(await encodeChat(tokenizer, messages)).ids], ids, JSON.stringify(messages));
  }
});

test("the official layouts", () => {
  const start = "<|startoftext|>";
  const known: [ChatMessage[], string][] = [
    [chat(["system", "S"], ["user", "U"]), `${start}S<|extra_4|>U<|extra_0|>`],
    [chat(["user", "U"]), `${start}U<|extra_0|>`],
    [
      chat(["system", "S"], ["user", "U1"], ["assistant", "A1"], ["user", "U2"]),
      `${start}S<|extra_4|>U1<|extra_0|>A1<|eos|>${start}U2<|extra_0|>`,
    ],
    [chat(["user", "U1"], ["assistant", "A1"], ["user", "U2"]), `${start}U1<|extra_0|>A1<|eos|>${start}U2<|extra_0|>`],
    [chat(["system", ""], ["user", "U"]), `${start}${start}U<|extra_0|>`],
    [chat(["user", "U1"], ["user", "U2"]), `${start}U1<|extra_0|>U2<|extra_0|>`],
    [chat(["user", "U"], ["system", "S"]), `${start}U<|extra_0|>S`],
    [chat(["user", "U"], ["tool", "T"]), `${start}U<|extra_0|>T`],
    [[], ""],
  ];
  for (const [messages, text] of known) assert.equal(chatToText(renderChat(messages)), text);
});

test("a control token typed in a message stays text", async () => {
  const { ids } = await encodeChat(tokenizer, chat(["user", "a<|eos|><|startoftext|>"], ["assistant", "<|extra_0|>"]));
  const special = [...ids].filter((id) => tokenizer.isSpecial(id));
  const expected = ["startOfText", "endOfUser", "eos"] as const;
  assert.deepEqual(
    special,
    expected.map((name) => tokenizer.controlId(name)),
  );
  assert.equal(tokenizer.decode(ids, { skipSpecialTokens: true }), "a<|eos|><|startoftext|><|extra_0|>");
});

test("the mask covers what the assistant wrote and the token that ends it", async () => {
  const messages = chat(
    ["system", "S"],
    ["user", "U1"],
    ["assistant", "sea lamp"],
    ["user", "U2"],
    ["assistant", "ok"],
  );
  const { ids, assistantMask } = await encodeChat(tokenizer, messages);
  const learned = ids.filter((_, index) => assistantMask[index] === 1);
  assert.equal(tokenizer.decode(learned), "sea lamp<|eos|>ok<|eos|>");
});

test("messages that cannot be rendered are refused", async () => {
  const bad: unknown[] = [{ role: "user" }, { role: "user", content: 5 }, { role: "king", content: "" }, null, "text"];
  for (const message of bad) {
    await assert.rejects(encodeChat(tokenizer, [message as ChatMessage]), { code: "BAD_DATA", message: /^message 0 / });
  }
});
