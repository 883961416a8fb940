import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { z } from "zod";
import { tinyTokenizer } from "../../test/tiny-model.ts";
import { normals } from "../../test/twins/support.ts";
import { streamKeys } from "../base/random.ts";
import { Execution } from "../tensor/execution.ts";
import { Grammars, GrammarText } from "./grammar.ts";
import type { Grammar } from "./request.ts";
import { drawableTokens, sampleRows, TokenCounts } from "./sampling.ts";

const tokenizer = tinyTokenizer();
const vocabularySize = 307;
const eos = tokenizer.controlId("eos");
const drawable = drawableTokens(tokenizer, vocabularySize);
const grammars = new Grammars(tokenizer, vocabularySize);
after(() => grammars[Symbol.dispose]());

/** Random tokens that the grammar permits, until a stop token or `most` have come. */
async function write(grammar: Grammar, seed: number, stopTokenIds: number[], most = 400) {
  using text = await grammars.open(grammar, stopTokenIds);
  using execution = new Execution({ threads: 1, computeType: "f32" });
  // a random model that likes to end, or else texts of random strings would not
  const logits = Float32Array.from(normals(vocabularySize, seed));
  logits[eos]! += 4;
  logits[34]! += 4;
  // bytes at random are seldom the characters that a schema counts
  for (let id = 0; id < tokenizer.vocabularySize; id++) if (tokenizer.tokenBytes(id)[0]! >= 0x80) logits[id] = -100;
  const tokens: number[] = [];
  const permittedStops: number[] = [];
  while (tokens.length < most) {
    const mask = text.mask();
    if (mask === undefined) return { text: tokenizer.decode(tokens), isComplete: true, permittedStops };
    if ((mask[eos >>> 5]! & (1 << (eos & 31))) !== 0) permittedStops.push(tokens.length);
    const tensor = execution.arena.tensor("f32", 1, vocabularySize);
    tensor.setFloats(logits);
    const keys = streamKeys(seed, "sample", 0);
    const row = { settings: { temperature: 1 }, keys, index: tokens.length, counts: new TokenCounts([]), mask };
    const [sampled] = sampleRows(execution, tensor, [row], drawable);
    execution.arena.reset();
    const token = sampled!.token!;
    if (stopTokenIds.includes(token)) return { text: tokenizer.decode(tokens), isComplete: true, permittedStops };
    tokens.push(token);
    text.accept(token);
  }
  return { text: tokenizer.decode(tokens), isComplete: false, permittedStops };
}

const person = z.strictObject({
  name: z.string().max(12),
  age: z.int().min(0).max(120),
  colors: z.array(z.enum(["black", "white"])).max(3),
  colony: z.strictObject({ place: z.string().max(5), isCold: z.boolean() }).nullable(),
});

describe("texts of a random model under a grammar", () => {
  it("are JSON that validates against the schema, and end only where it permits", async () => {
    const schema = JSON.stringify(z.toJSONSchema(person));
    const seen = new Set<string>();
    for (let seed = 0; seed < 12; seed++) {
      const { text, isComplete, permittedStops } = await write({ type: "json-schema", schema }, seed, [eos]);
      assert.ok(isComplete, text);
      person.parse(JSON.parse(text));
      assert.equal(permittedStops.length, 1, "a stop token is permitted at the end alone");
      seen.add(text);
    }
    assert.ok(seen.size > 6);
  });

  it("are JSON objects when any JSON is asked for", async () => {
    let complete = 0;
    for (let seed = 0; seed < 8; seed++) {
      const { text, isComplete } = await write({ type: "json" }, seed, [eos]);
      if (!isComplete) continue;
      assert.equal(typeof JSON.parse(text), "object");
      assert.ok(text.startsWith("{"));
      complete++;
    }
    assert.ok(complete > 0);
  });

  it("keep to an EBNF grammar, and may go on after a place where they may end", async () => {
    const grammar = 'root ::= word ("+" word)*\nword ::= "on" | "the" | "é🐧"';
    for (let seed = 0; seed < 6; seed++) {
      const { text, isComplete, permittedStops } = await write({ type: "ebnf", grammar }, seed, [eos], 60);
      assert.match(text, isComplete ? /^(on|the|é🐧)(\+(on|the|é🐧))*$/u : /^(on|the|é)/);
      assert.ok(permittedStops.length >= (isComplete ? 1 : 0));
    }
  });

  it("end by themselves when there is no stop token", async () => {
    const { text, isComplete } = await write({ type: "ebnf", grammar: 'root ::= "the" "é"' }, 1, []);
    assert.deepEqual([text, isComplete], ["theé", true]);
  });
});

describe("a grammar that cannot be used", () => {
  const schema = (value: unknown): Grammar => ({ type: "json-schema", schema: JSON.stringify(value) });
  const nested = (depth: number): object => (depth === 0 ? {} : { items: nested(depth - 1) });
  const loop = { $ref: "#/$defs/a", $defs: { a: { $ref: "#/$defs/b" }, b: { $ref: "#/$defs/a" } } };
  const refusals: [string, Grammar, RegExp][] = [
    ["no JSON", { type: "json-schema", schema: "{" }, /no JSON/],
    ["no object", schema([]), /no object/],
    ["too large", schema({ const: "x".repeat(70_000) }), /bytes/],
    ["too deep", schema(nested(80)), /deeper than 64/],
    ["a keyword that is not enforced", schema({ properties: { a: { not: {} } } }), /keyword not/],
    ["several schemas at once", schema({ allOf: [{}, {}] }), /allOf/],
    ["a reference to elsewhere", schema({ $ref: "http://localhost/x" }), /refers to http/],
    ["an unknown type", schema({ type: "penguin" }), /Unsupported type "penguin"/],
    ["a reference to nothing", schema({ $ref: "#/$defs/x" }), /cannot be used/],
    ["a reference to itself", schema(loop), /permits no text/],
    ["a broken grammar", { type: "ebnf", grammar: "root ::= (" }, /EBNF/],
    ["a rule that there is not", { type: "ebnf", grammar: "root ::= egg" }, /"egg" is not defined/],
    ["a grammar nested beyond measure", { type: "ebnf", grammar: `root ::= ${"(".repeat(20_000)}` }, /cannot be used/],
  ];
  for (const [what, grammar, message] of refusals) {
    it(`is refused: ${what}`, async () => {
      await assert.rejects(grammars.open(grammar, [eos]), { code: "INVALID_OPTION", message });
    });
  }

  it("is refused when it takes too long, and others are served meanwhile", async () => {
    using impatient = new Grammars(tokenizer, vocabularySize, { compileMilliseconds: 1500 });
    const endless = impatient.open(schema({ type: "string", pattern: "^(((a{1000}){1000}){1000})$" }), [eos]);
    const refusal = assert.rejects(endless, { code: "INVALID_OPTION", message: /too long to compile/ });
    using served = await grammars.open({ type: "json" }, [eos]);
    assert.ok(served.mask());
    await refusal;
  });

  it("does not refuse properties, values and names that look like keywords", async () => {
    const good = { type: "object", properties: { not: { enum: ["if"] } }, required: ["not"] };
    using text = await grammars.open(schema(good), [eos]);
    assert.ok(text instanceof GrammarText);
  });
});

it("no more grammars are kept than asked for, and only unused ones make room", async () => {
  using few = new Grammars(tokenizer, vocabularySize, { kept: 2 });
  const grammar = (text: string): Grammar => ({ type: "ebnf", grammar: `root ::= "${text}"` });
  const one = await few.open(grammar("a"), [eos]);
  using two = await few.open(grammar("b"), [eos]);
  await assert.rejects(few.open(grammar("c"), [eos]), { code: "OVERLOADED" });
  one[Symbol.dispose]();
  using three = await few.open(grammar("c"), [eos]);
  assert.ok(two.mask() && three.mask());
});

it("a text whose grammar's thread has gone says so instead of waiting", async () => {
  const gone = new Grammars(tokenizer, vocabularySize);
  using text = await gone.open({ type: "json" }, [eos]);
  assert.ok(text.mask());
  gone[Symbol.dispose]();
  text.accept(123);
  assert.throws(() => text.mask(), { code: "INVALID_OPTION" });
});
