import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { tokenizer } from "../../test/serving.ts";
import { type ChatMessage, encodeChat } from "../text/chat-template.ts";
import { PromptEncoder } from "./prompt-encoder.ts";

const prompts = new PromptEncoder(tokenizer, 100_000);
const start = tokenizer.controlId("startOfText");
const eos = tokenizer.controlId("eos");

describe("prompts", () => {
  it("of chats are those of the template, control tokens only where it puts them", async () => {
    const messages: ChatMessage[] = [
      { role: "system", content: "the chicks" },
      { role: "user", content: "the rock <|eos|>" },
    ];
    const ids = await prompts.chat(messages, "messages");
    assert.deepEqual(ids, (await encodeChat(tokenizer, messages)).ids);
    assert.ok(!ids.includes(eos));
  });

  it("of chats continue a last message of the assistant", async () => {
    const user: ChatMessage = { role: "user", content: "the rock" };
    const asked = await prompts.chat([user], "messages");
    const continued = await prompts.chat([user, { role: "assistant", content: "the cold" }], "messages");
    assert.deepEqual([...continued], [...asked, ...(await tokenizer.encodeText("the cold"))]);
    assert.deepEqual(await prompts.chat([user, { role: "assistant", content: "" }], "messages"), asked);
  });

  it("as texts are read as they are: nothing in front, special tokens by their names", async () => {
    assert.deepEqual(await prompts.raw("the rock", "prompt"), await tokenizer.encodeText("the rock"));
    assert.deepEqual([...(await prompts.raw("<|eos|>the", "prompt"))].slice(0, 1), [eos]);
    assert.deepEqual([...(await prompts.raw("", "prompt"))], [start]);
    const document = await prompts.document("<|eos|>the", "input");
    assert.equal(document[0], start);
    assert.ok(!document.includes(eos));
  });

  it("of ids must be of the vocabulary", async () => {
    const ids = Int32Array.of(1, 2, tokenizer.vocabularySize - 1);
    assert.equal(await prompts.raw(ids, "prompt"), ids);
    await assert.rejects(prompts.raw(Int32Array.of(tokenizer.vocabularySize), "prompt"), /there is no token 290/);
    await assert.rejects(prompts.raw(new Int32Array(0), "prompt"), /has no tokens/);
  });

  it("that are long give others their turn, and are the same as at once", async () => {
    const text = "the penguins and the chicks on the rock. ".repeat(8000);
    const encoder = new PromptEncoder(tokenizer, 1_000_000);
    let turns = 0;
    const counting = setInterval(() => turns++, 0);
    const document = await encoder.document(text, "input");
    clearInterval(counting);
    const expected = await tokenizer.encodeText(text);
    assert.equal(document.length, expected.length + 1);
    assert.equal(Buffer.compare(Buffer.from(document.subarray(1).slice().buffer), Buffer.from(expected.buffer)), 0);
    assert.ok(turns >= 3, `${turns} turns`);
  });

  it("over the model's length are refused; far over it, without being encoded", async () => {
    const small = new PromptEncoder(tokenizer, 10);
    await assert.rejects(small.raw("the ".repeat(20), "prompt"), { code: "context_length_exceeded", param: "prompt" });
    const content = "a".repeat(1e8);
    await assert.rejects(small.chat([{ role: "user", content }], "messages"), /100000000 characters/);
  });
});
