import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { main } from "../main.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-synth-command-"));
after(() => fs.rmSync(root, { recursive: true, force: true }));

async function run(...words: string[]) {
  const output = { stdout: "", stderr: "" };
  const record = (name: "stdout" | "stderr") => ({
    write(text: string) {
      output[name] += text;
    },
  });
  const stdin = (async function* () {})();
  const signal = new AbortController().signal;
  const shell = { stdout: record("stdout"), stderr: record("stderr"), environment: {}, stdin, signal };
  const code = await main(["synth", ...words, "--runs-folder", root, "--json"], shell);
  return { code, ...output, result: code === 0 ? JSON.parse(output.stdout) : undefined };
}

describe("rookery synth", () => {
  it("goes on with what the run was begun with, unless other filters are named, which stay", async () => {
    const families = ["--set", 'tasks.families=["arithmetic"]', "--set", "tasks.records=200"];
    const first = await run("run", "--name", "sums", ...families);
    assert.equal(first.code, 0, first.stderr);
    assert.equal(first.result.instructions, null, "no instructions are missing where there are no seeds");
    const resume = ["run", "--resume", "--name", "sums"];
    const held = path.join(root, "held.jsonl");
    fs.copyFileSync(first.result.dataFile, held);
    const sets = JSON.stringify([{ name: "held", path: held }]);
    const barred = await run(...resume, "--set", `filters.evaluationSets=${sets}`);
    assert.ok(first.result.kept > 150 && barred.result.kept === 0, `${barred.result.kept} of ${first.result.kept}`);
    assert.equal((await run(...resume)).result.kept, 0);
    const refused = await run(...resume, "--set", "tasks.records=5");
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /was begun with tasks\.records \\"200\\", not \\"5\\"/);
    const back = await run("filter", "sums", "--set", "evaluationSets=[]");
    assert.equal(back.result.kept, first.result.kept);
    assert.ok(fs.existsSync(back.result.page));
    const same = await run("filter", "sums", "--min-agreement", "0.7");
    assert.equal(same.result.kept, first.result.kept, "what is not named stays");
  });

  it("says in one line which run is missing", async () => {
    for (const words of [
      ["run", "--resume", "--name", "none"],
      ["filter", "none"],
      ["report", "none"],
    ]) {
      const { code, stderr } = await run(...words);
      assert.equal(code, 2);
      assert.match(stderr, /there is no run \\"none\\"/);
    }
    const begun = path.join(root, "begun");
    fs.mkdirSync(begun);
    fs.copyFileSync(path.join(root, "sums", "config.json"), path.join(begun, "config.json"));
    const { code, stderr } = await run("report", "begun");
    assert.equal(code, 2);
    assert.match(stderr, /the run \\"begun\\" has not written its data set yet/);
  });
});
