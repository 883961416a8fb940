/** Answers that keep to a schema, by clients as their makers ship them. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, jsonSchema } from "ai";
import OpenAI from "openai";
import { type LiveServer, startLiveServer } from "../live-server.ts";
import { json } from "../serving.ts";

const messages = [{ role: "user" as const, content: "who is on the rock?" }];
const settings = { model: "tiny", messages, max_tokens: 200, temperature: 0, seed: 3 };
const schema = {
  type: "object" as const,
  properties: { cold: { type: "boolean" as const }, bird: { type: "string" as const, enum: ["penguin", "chick"] } },
  required: ["cold", "bird"],
  additionalProperties: false,
};

let server: LiveServer;
let openai: OpenAI;
before(async () => {
  server = await startLiveServer();
  openai = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});
after(() => server.close());

function checkBird(text: string | null | undefined): void {
  const value = JSON.parse(text ?? "");
  assert.deepEqual(Object.keys(value).sort(), ["bird", "cold"]);
  assert.equal(typeof value.cold, "boolean");
  assert.ok(["penguin", "chick"].includes(value.bird));
}

describe("answers of a schema", () => {
  it("for openai, in a chat and a response, whole and streamed", async () => {
    const format = { type: "json_schema" as const, json_schema: { name: "bird", strict: true, schema } };
    const { choices } = await openai.chat.completions.create({ ...settings, response_format: format });
    assert.equal(choices[0]?.finish_reason, "stop");
    checkBird(choices[0]?.message.content);
    const stream = openai.chat.completions.stream({ ...settings, response_format: format });
    checkBird(await stream.finalContent());
    const text = { format: { type: "json_schema" as const, name: "bird", strict: true, schema } };
    const request = { model: "tiny", input: "who?", max_output_tokens: 200, temperature: 0, text };
    const response = await openai.responses.create(request);
    assert.equal(response.status, "completed");
    checkBird(response.output_text);
  });

  it("for Vercel ai", async () => {
    const provider = createOpenAICompatible({
      name: "rookery",
      baseURL: `${server.url}/v1`,
      supportsStructuredOutputs: true,
    });
    const { object } = await generateObject({
      model: provider.chatModel("tiny"),
      prompt: "who is on the rock?",
      maxOutputTokens: 200,
      temperature: 0,
      maxRetries: 0,
      schema: jsonSchema<{ cold: boolean; bird: string }>(schema),
    });
    checkBird(JSON.stringify(object));
  });

  it("are refused with 400 when the schema or grammar cannot be kept to, in a stream too", async () => {
    const bad = [
      { response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "no such type" } } } },
      { grammar: "root ::= no_such_rule" },
    ];
    for (const fields of bad) {
      for (const stream of [false, true]) {
        const response = await fetch(`${server.url}/v1/chat/completions`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ ...settings, ...fields, stream }),
        });
        assert.equal(response.status, 400, JSON.stringify(fields));
        assert.equal((await json(response)).error.type, "invalid_request_error");
      }
    }
  });

  it("keep to a grammar", async () => {
    const grammar = 'root ::= ("penguin" | "chick") " on the rock"';
    const request = { ...settings, grammar } as OpenAI.ChatCompletionCreateParamsNonStreaming;
    const { choices } = await openai.chat.completions.create(request);
    assert.match(choices[0]?.message.content ?? "", /^(penguin|chick) on the rock$/);
  });
});
