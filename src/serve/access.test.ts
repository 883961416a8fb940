import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { json, serveScripted } from "../../test/serving.ts";
import { ApiKeys, isLoopback } from "./access.ts";

const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });

describe("API keys", () => {
  const { app } = serveScripted({ apiKeys: ["first-key", "second-key"] });

  it("are asked for on every route but /health, whether it exists or not", async () => {
    assert.equal((await app.request("/health")).status, 200);
    const gets = ["/ready", "/metrics", "/tokenizer_info", "/v1/models", "/v1/models/penguins/nano", "/", "/nope"];
    for (const path of gets) assert.equal((await app.request(path)).status, 401, path);
    const posts = ["chat/completions", "completions", "responses", "embeddings"].map((name) => `/v1/${name}`);
    for (const path of [...posts, "/tokenize", "/detokenize", "/health"]) {
      const response = await app.request(path, { method: "POST" });
      assert.equal(response.status, path === "/health" ? 405 : 401, path);
    }
  });

  it("let in with any of the keys, as bearer or as a browser's password", async () => {
    const status = async (headers: Record<string, string>) => (await app.request("/ready", { headers })).status;
    assert.equal(await status(bearer("first-key")), 200);
    assert.equal(await status(bearer("second-key")), 200);
    assert.equal(await status({ Authorization: "bearer second-key" }), 200);
    assert.equal(await status({ Authorization: `Basic ${btoa("me:first-key")}` }), 200);
    for (const wrong of ["first-ke", "first-key2", "FIRST-KEY", "", "first-key second-key"]) {
      assert.equal(await status(bearer(wrong)), 401, wrong);
    }
    assert.equal(await status({ Authorization: "first-key" }), 401);
    assert.equal(await status({ Authorization: `Basic ${btoa("first-key")}` }), 401);
  });

  it("say in OpenAI's shape what is missing, and only pages make a browser ask", async () => {
    const response = await app.request("/v1/models");
    assert.equal(response.headers.get("www-authenticate"), 'Bearer realm="rookery"');
    const { error } = await json(response);
    assert.deepEqual([error.type, error.code], ["invalid_request_error", "invalid_api_key"]);
    const page = await app.request("/", { headers: { Accept: "text/html" } });
    assert.match(page.headers.get("www-authenticate") ?? "", /^Basic /);
  });

  it("are tenants that do not give the key away", () => {
    const keys = new ApiKeys(["first-key", "second-key"]);
    const tenant = (key: string) => keys.tenantOf(new Headers(bearer(key)));
    assert.notEqual(tenant("first-key"), tenant("second-key"));
    assert.doesNotMatch(tenant("first-key") ?? "", /first/);
    assert.equal(new ApiKeys([]).tenantOf(new Headers(bearer("whatever"))), undefined);
  });

  it("without any, an empty bearer is tolerated, as lm-eval sends it", async () => {
    const { app } = serveScripted();
    assert.equal((await app.request("/v1/models", { headers: { Authorization: "Bearer " } })).status, 200);
  });

  it("separate the prefix caches", async () => {
    const { post, engine } = serveScripted({ apiKeys: ["first-key", "second-key"] });
    const salt = async (key: string, more: object = {}) => {
      await post("/v1/completions", { prompt: "the", ...more }, bearer(key));
      return engine.requests.at(-1)?.cacheSalt;
    };
    assert.equal(await salt("first-key"), await salt("first-key"));
    assert.notEqual(await salt("first-key"), await salt("second-key"));
    assert.notEqual(await salt("first-key"), await salt("first-key", { cache_salt: "x" }));
  });
});

describe("the name that a request was sent to", () => {
  const { app } = serveScripted({ loopbackNamesOnly: true });
  const status = async (host: string) => (await app.request("/v1/models", { headers: { Host: host } })).status;

  it("must be this machine's where there are no keys", async () => {
    for (const host of ["localhost", "localhost:8080", "127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "LOCALHOST:1"]) {
      assert.equal(await status(host), 200, host);
    }
    for (const host of ["evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "[::2]"]) {
      assert.equal(await status(host), 403, host);
    }
  });

  it("does not matter otherwise", async () => {
    const { app } = serveScripted();
    assert.equal((await app.request("/v1/models", { headers: { Host: "any.example" } })).status, 200);
  });

  it("isLoopback knows the addresses of this machine", () => {
    assert.deepEqual(["localhost", "127.0.0.1", "127.9.9.9", "::1"].filter(isLoopback).length, 4);
    assert.deepEqual(["0.0.0.0", "::", "192.168.0.1", "example.org", "127.0.0.1.org"].filter(isLoopback), []);
  });
});
