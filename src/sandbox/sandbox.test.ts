import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { skipContained as skip } from "../../test/contained-code.ts";
import { limitedCommand } from "./namespaces.ts";
import { passesTests } from "./passes-tests.ts";
import { type ContainedRequest, runContained } from "./run.ts";
import { watchProcess } from "./watched-process.ts";

/** A file of this user, outside the system's folders. */
let secretFolder: string;

before(() => {
  secretFolder = mkdtempSync(join(tmpdir(), "rookery-secret-"));
  writeFileSync(join(secretFolder, "secret"), "the secret", { mode: 0o644 });
});
after(() => rmSync(secretFolder, { recursive: true }));

const python = (code: string, more: Partial<ContainedRequest> = {}) =>
  runContained({ language: "python", code, timeoutMs: 5000, ...more });
const javascript = (code: string, more: Partial<ContainedRequest> = {}) =>
  runContained({ language: "javascript", code, timeoutMs: 5000, ...more });

/** How many processes of this machine have a word in their command line. */
function runningWith(word: string): number {
  const has = (pid: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(word);
    } catch {
      return false;
    }
  };
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name) && has(name)).length;
}

describe("contained code", { skip, concurrency: 2 }, () => {
  test("reads stdin and writes stdout, in any script", async () => {
    const stdin = "企鹅 🐧 עברית";
    for (const run of [
      python("import sys\nsys.stdout.write(sys.stdin.read())", { stdin }),
      javascript("process.stdout.write(require('fs').readFileSync(0))", { stdin }),
      javascript("import { readFileSync } from 'node:fs'; process.stdout.write(readFileSync(0, 'utf8'))", { stdin }),
    ]) {
      const { status, stdout, stderr } = await run;
      assert.deepEqual([status, stdout, stderr], ["ok", stdin, ""]);
    }
  });

  test("errors are told with what the program said", async () => {
    const thrown = await python("print('before')\nraise ValueError('企鹅')");
    assert.equal(thrown.status, "error");
    assert.equal(thrown.stdout, "before\n");
    assert.match(thrown.stderr, /ValueError: 企鹅/);
    assert.equal((await python("def f(:")).status, "error");
    assert.equal((await javascript("process.exit(7)")).exitCode, 7);
    assert.equal((await python("import os\nos.abort()")).status, "error");
  });

  test("loops end at the time limit, those that ignore signals too", async () => {
    const loops = [
      python("while True: pass", { timeoutMs: 300 }),
      python(
        "import signal\nfor s in range(1, 32):\n  try: signal.signal(s, signal.SIG_IGN)\n  except OSError: pass\nwhile True: pass",
        {
          timeoutMs: 300,
        },
      ),
      python("import time\ntime.sleep(60)", { timeoutMs: 300 }),
      javascript("for (;;);", { timeoutMs: 300 }),
      javascript("process.on('SIGTERM', () => {}); setInterval(() => {}, 1)", { timeoutMs: 300 }),
    ];
    for (const { status, durationMs } of await Promise.all(loops)) {
      assert.equal(status, "timeout");
      assert.ok(durationMs >= 300);
    }
  });

  test("a fork bomb stops at its own limit, and nothing of it stays", async () => {
    const bomb =
      "import os, time\nn = 0\ntry:\n  while True:\n    if os.fork() == 0: time.sleep(9)\n    n += 1\nfinally: print(n)";
    const { status, stdout, stderr } = await python(bomb);
    assert.notEqual(status, "ok");
    assert.match(stderr, /BlockingIOError/);
    assert.equal(stdout, "31\n");
    const everywhere =
      "import os, signal\nsignal.signal(15, signal.SIG_IGN)\nwhile True:\n  try: os.fork()\n  except OSError: pass";
    assert.equal((await python(everywhere, { timeoutMs: 500 })).status, "timeout");
    assert.equal((await javascript("require('child_process').execSync('id')")).status, "error");
    assert.equal(
      (await javascript("new (require('worker_threads').Worker)('for(;;);', { eval: true })")).status,
      "error",
    );
  });

  test("what has left its session and lost its parent ends with the program", async () => {
    const word = `orphan-${process.pid}-${secretFolder.slice(-6)}`;
    const code = `import os, subprocess
subprocess.Popen(["sh", "-c", "trap '' TERM HUP; while :; do sleep 1; done", "${word}"], start_new_session=True)
print("left")`;
    const { stdout } = await python(code);
    assert.equal(stdout, "left\n");
    assert.equal(runningWith(word), 0);
  });

  test("memory is limited: of one process, of all of them, of typed arrays and of the folder", async () => {
    const memoryBytes = 128 * 2 ** 20;
    const list = python("a = []\nwhile True: a.append(bytearray(1 << 20))", { memoryBytes });
    assert.equal((await list).status, "memory");
    const objects = javascript("const a = []; for (;;) a.push({ i: a.length })", { memoryBytes });
    assert.equal((await objects).status, "memory");
    const buffers = javascript("const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1))", { memoryBytes });
    assert.equal((await buffers).status, "memory");
    const each =
      "import os, time\nfor i in range(8):\n  if os.fork() == 0:\n    a = bytearray(b'x') * (60 << 20)\n    time.sleep(4)\n    os._exit(0)\nos.wait()";
    assert.equal((await python(each, { memoryBytes })).status, "memory");
    const folder = await python("open('a', 'wb').write(bytes(15 << 20))\nopen('b', 'wb').write(bytes(15 << 20))");
    assert.match(folder.stderr, /No space left on device/);
    assert.match((await python("open('a', 'wb').write(bytes(20 << 20))")).stderr, /File too large/);
  });

  test("files of the system's users and of this one are not there", async () => {
    for (const path of [
      "/etc/passwd",
      "/etc/shadow",
      homedir(),
      secretFolder,
      join(secretFolder, "secret"),
      "/proc/1/root/etc/passwd",
      "/old",
    ]) {
      const literal = JSON.stringify(path);
      const read = await python(
        `import os\nprint(os.listdir(${literal}) if os.path.isdir(${literal}) and ${literal} != "/old" else open(${literal}).read())`,
      );
      assert.equal(read.status, "error", `${path}: ${read.stdout}`);
    }
    const script = `require("fs").readFileSync(${JSON.stringify(join(secretFolder, "secret"))})`;
    assert.equal((await javascript(script)).status, "error");
    assert.equal((await python("open('/usr/x', 'w')")).status, "error");
    assert.equal((await python("open('/runtime/program', 'w')")).status, "error");
    const kept = await python("print(open('kept', 'w').write('x'))\nimport os\nprint(sorted(os.listdir('.')))");
    assert.equal(kept.stdout, "1\n['kept']\n");
  });

  test("the environment is empty of what this process has", async () => {
    process.env.ROOKERY_TEST_SECRET = "the secret";
    const { stdout } = await python("import os\nprint(os.environ)\nprint(open('/proc/1/environ').read())");
    assert.doesNotMatch(stdout, /the secret/);
    assert.match(stdout, /HOME/);
  });

  test("there is no network, not even to this machine", async () => {
    const server = createServer((socket) => socket.end("hello")).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as { port: number };
    let connections = 0;
    server.on("connection", () => connections++);
    try {
      for (const host of ["127.0.0.1", "::1", "192.0.2.1"]) {
        const opened = await python(`import socket\nprint(socket.create_connection(("${host}", ${port}), 2).recv(9))`);
        assert.equal(opened.status, "error", host);
        assert.match(opened.stderr, /Network is unreachable|Cannot assign requested address/);
        const from = `require("net").connect(${port}, "${host}").on("data", (d) => console.log(String(d)))`;
        assert.equal((await javascript(from)).status, "error", host);
      }
      assert.equal((await javascript("fetch('http://example.com')")).status, "error");
      assert.equal(connections, 0);
    } finally {
      server.close();
    }
  });

  test("no further namespaces, no privileges", async () => {
    assert.equal(
      (await python("import subprocess\nsubprocess.run(['unshare', '-Ur', 'true'], check=True)")).status,
      "error",
    );
    assert.equal(
      (await python("import subprocess\nsubprocess.run(['mount', '-t', 'tmpfs', 'none', '/work'], check=True)")).status,
      "error",
    );
    assert.equal((await python("open('/proc/sys/user/max_user_namespaces', 'w').write('9')")).status, "error");
    assert.match((await python("print(open('/proc/self/status').read())")).stdout, /CapBnd:\t0+\n/);
  });

  test("a flood of output ends the program, and is cut between characters", async () => {
    const outputBytes = 1000;
    const { status, stdout } = await python("while True: print('企鹅', end='')", { outputBytes });
    assert.equal(status, "output");
    assert.ok(stdout.length >= 330 && stdout.length <= 334);
    assert.doesNotMatch(stdout, /\ufffd/);
    assert.equal((await javascript("setInterval(() => console.error('x'.repeat(99999)), 0)")).status, "output");
  });

  test("a signal stops it, with its own reason", async () => {
    const controller = new AbortController();
    const running = python("while True: pass", { signal: controller.signal });
    setImmediate(() => controller.abort(new Error("enough")));
    await assert.rejects(running, /enough/);
    await assert.rejects(python("", { signal: controller.signal }), /enough/);
  });

  test("tests are passed by what reaches their end alone", async () => {
    const tests = "assert double(4) == 8";
    const run = (code: string) => passesTests({ language: "python", code, tests });
    const right = await run("def double(x):\n  print('seen')\n  return 2 * x");
    assert.deepEqual([right.isPassed, right.stdout], [true, "seen\n"]);
    assert.equal((await run("def double(x): return x")).isPassed, false);
    assert.equal((await run("import sys\nsys.exit(0)")).isPassed, false);
    assert.equal((await run("import os\nos._exit(0)")).isPassed, false);
    const script = { language: "javascript", tests: "if (double(4) !== 8) throw new Error('wrong')" } as const;
    assert.equal((await passesTests({ ...script, code: "const double = (x) => 2 * x;" })).isPassed, true);
    assert.equal((await passesTests({ ...script, code: "process.exit(0)" })).isPassed, false);
  });
});

test("without walls there are limits still", async () => {
  const folder = mkdtempSync(join(tmpdir(), "rookery-limits-"));
  const bounds = { folder, environment: { PATH: "/usr/bin:/bin" }, stdin: "", outputBytes: 1000, signal: undefined };
  const limits = { cpuSeconds: 5, dataBytes: 2 ** 28, fileBytes: 1024, folderBytes: 0, processes: 8, openFiles: 64 };
  const run = (script: string, timeoutMs: number) =>
    watchProcess(limitedCommand(["sh", "-c", script], limits), { ...bounds, timeoutMs, memoryBytes: 2 ** 28 });
  try {
    assert.equal((await run("echo here", 5000)).stdout, "here\n");
    assert.equal((await run("trap '' TERM; while :; do :; done", 200)).exceeded, "timeout");
    assert.equal((await run("while :; do echo flood; done", 5000)).exceeded, "output");
    assert.notEqual((await run("head -c 4096 /dev/zero > big", 5000)).exitCode, 0);
    await assert.rejects(watchProcess(["/no/such/program"], { ...bounds, timeoutMs: 100, memoryBytes: 1 }), /ENOENT/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
