import assert from "node:assert/strict";
import { test } from "node:test";
import { skipContained as skip } from "../../../test/contained-code.ts";
import { behaviorOf, codeIn, isSameBehavior } from "./code.ts";

const bounds = { timeoutMs: 2000, memoryBytes: 2 ** 27, allowUncontained: false };
const python = (code: string) => behaviorOf(`Here it is:\n\`\`\`python\n${code}\n\`\`\``, bounds);
const javascript = (code: string) => behaviorOf(`\`\`\`js\n${code}\n\`\`\``, bounds);

test("code is found in its fence, with its language", () => {
  assert.deepEqual(codeIn("```py\nprint(1)\n```"), { language: "python", code: "print(1)" });
  assert.equal(codeIn("```\nconst a = 1;\nconsole.log(a)\n```")?.language, "javascript");
  assert.equal(codeIn("def f(x):\n  return x")?.language, "python");
  assert.equal(codeIn("```rust\nfn main() {}\n```"), undefined);
  assert.equal(codeIn("I cannot write that."), undefined);
  assert.equal(codeIn("```py\nx=1\n```\n```py\nprint('the longer one')\n```")?.code, "print('the longer one')");
});

test("programs are the same that do the same", { skip }, async () => {
  const isSame = async (...runs: ReturnType<typeof python>[]) => {
    const [a, b] = await Promise.all(runs);
    assert.ok(a && b && "behavior" in a && "behavior" in b);
    return isSameBehavior(a.behavior, b.behavior);
  };
  const add = python("def add(a, b):\n    return a + b");
  assert.ok(await isSame(add, python("def sum_of(x, y):\n    result = x\n    result += y\n    return result")));
  assert.ok(await isSame(add, python("def add(a, b):\n    assert a > 0\n    return a + b")));
  assert.ok(!(await isSame(add, python("def add(a, b):\n    return a - b"))));
  assert.ok(!(await isSame(add, python("print(7)"))));
  const total = python("total = 0\nfor i in range(5):\n  total += i\nprint(total)");
  assert.ok(await isSame(total, python("print(sum(range(5)))")));
  const double = javascript("function double(x) { return 2 * x; }");
  assert.ok(!(await isSame(double, javascript("const twice = (x) => x + x;"))));
  assert.ok(await isSame(double, javascript("const twice = (x) => x * 2;")));
});

test("programs that fail, hang, do nothing or leave are failed answers, and say why", { skip }, async () => {
  const faultOf = async (code: string) => {
    const behavior = await python(code);
    return "fault" in behavior ? behavior.fault : "none";
  };
  assert.equal(await faultOf("while True: pass"), "codeExceeds");
  assert.equal(await faultOf("import os\nwhile True: os.fork()"), "codeFails");
  assert.equal(await faultOf("x = [0]\nwhile True: x += x"), "codeExceeds");
  assert.equal(await faultOf("print(open('/etc/passwd').read())"), "codeFails");
  assert.equal(await faultOf("import socket\nsocket.create_connection(('192.0.2.1', 80))"), "codeFails");
  assert.equal(await faultOf("def f(:"), "codeFails");
  assert.equal(await faultOf("x = 1"), "codeFails");
  assert.equal(await faultOf("def f(x): raise ValueError()"), "codeFails");
  assert.equal(await behaviorOf("no code", bounds).then((b) => ("fault" in b ? b.fault : "")), "noCode");
});
