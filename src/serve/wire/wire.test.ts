import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ApiError } from "../errors.ts";
import { chatRequest } from "./chat-completions.ts";
import { parseBody } from "./common.ts";
import { completionRequest } from "./completions.ts";
import { detokenizeRequest, tokenizeRequest } from "./tokenize.ts";

function errorOf(act: () => unknown): ApiError {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof ApiError);
    return error;
  }
  return assert.fail("nothing was thrown");
}

const messages = [{ role: "user", content: "the" }];

describe("bodies of chats", () => {
  const refused = (fields: object) => errorOf(() => parseBody(chatRequest, { messages, ...fields }));

  it("take content as text, as parts, and not at all", () => {
    const { messages: read } = parseBody(chatRequest, {
      messages: [
        { role: "developer", content: "a" },
        {
          role: "user",
          content: [
            { type: "text", text: "b" },
            { type: "text", text: "c" },
          ],
          name: "me",
        },
        { role: "assistant", content: null, tool_calls: [] },
        { role: "assistant" },
        { role: "tool", content: "d", tool_call_id: "x" },
      ],
    });
    assert.deepEqual(read, [
      { role: "system", content: "a" },
      { role: "user", content: "bc" },
      { role: "assistant", content: "" },
      { role: "assistant", content: "" },
      { role: "tool", content: "d" },
    ]);
  });

  it("name what is wrong", () => {
    assert.equal(errorOf(() => parseBody(chatRequest, {})).param, "messages");
    assert.match(errorOf(() => parseBody(chatRequest, {})).message, /^messages: is missing$/);
    const image = { role: "user", content: [{ type: "image_url", image_url: { url: "http://x" } }] };
    assert.match(refused({ messages: [image] }).message, /^messages\.0\.content\.0: only parts of type text/);
    assert.equal(refused({ messages: [{ role: "king", content: "" }] }).param, "messages.0.role");
    assert.equal(refused({ messages: [] }).param, "messages");
    assert.equal(refused({ temperature: -1 }).param, "temperature");
    assert.equal(refused({ response_format: { type: "yaml" } }).param, "response_format.type");
  });

  it("bound every number and every list", () => {
    const bad: object[] = [
      { temperature: Number.NaN },
      { temperature: 1e9 },
      { top_p: 0 },
      { top_p: 1.1 },
      { top_k: -2 },
      { top_k: 1.5 },
      { min_p: 2 },
      { presence_penalty: 3 },
      { n: 0 },
      { n: 1_000_000 },
      { max_tokens: 0 },
      { max_tokens: -1 },
      { max_tokens: 1e300 },
      { top_logprobs: 21 },
      { seed: 1.5 },
      { stop: Array.from({ length: 33 }, () => "x") },
      { stop: "x".repeat(257) },
      { stop_token_ids: [-1] },
      { logit_bias: { a: 1 } },
      { logit_bias: { 1: 101 } },
      { logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, id) => [id, 1])) },
      { messages: Array.from({ length: 4097 }, () => messages[0]) },
      { grammar: "x".repeat(70_000) },
    ];
    for (const fields of bad) assert.equal(refused(fields).status, 400, JSON.stringify(fields).slice(0, 80));
  });

  it("stop at the length of a list before they look into it", () => {
    const many = new Array<number>(2_000_000).fill(0);
    assert.match(refused({ messages: many }).message, /^messages: /);
    assert.match(refused({ stop: many }).message, /^stop: /);
  });

  it("take one stop text for a list of one, and leave out empty ones", () => {
    const stopOf = (stop: unknown) => parseBody(chatRequest, { messages, stop }).stop;
    assert.deepEqual([stopOf("x"), stopOf([]), stopOf(["", "y"])], [["x"], [], ["y"]]);
  });
});

describe("the four shapes of a prompt", () => {
  const promptOf = (prompt: unknown) => parseBody(completionRequest, { prompt }).prompt;

  it("are read, and a flat list of ids is one prompt", () => {
    assert.deepEqual(promptOf("a"), ["a"]);
    assert.deepEqual(promptOf(["a", "b"]), ["a", "b"]);
    assert.deepEqual(promptOf([1, 2]), [Int32Array.of(1, 2)]);
    assert.deepEqual(promptOf([[1, 2], [3]]), [Int32Array.of(1, 2), Int32Array.of(3)]);
  });

  it("are all that is read", () => {
    const bad = [undefined, 3, true, {}, [], [1, "a"], [1.5], [-1], [2 ** 25], [[1], [null]], [["a"]], [[[1]]]];
    for (const prompt of [...bad, Array.from({ length: 257 }, () => "a")]) {
      const error = errorOf(() => promptOf(prompt));
      assert.equal(error.param, "prompt", JSON.stringify(prompt)?.slice(0, 80));
    }
  });
});

describe("bodies of the tokenizer's routes", () => {
  it("take one text, or messages", () => {
    assert.equal(parseBody(tokenizeRequest, { content: "a" }).content, "a");
    assert.throws(() => parseBody(tokenizeRequest, { content: "a", prompt: "b" }));
    assert.throws(() => parseBody(tokenizeRequest, {}));
    assert.equal(parseBody(detokenizeRequest, { tokens: [] }).tokens[0]?.length, 0);
    for (const tokens of ["a", [[1], [2]], ["a"], 3]) assert.throws(() => parseBody(detokenizeRequest, { tokens }));
  });
});
