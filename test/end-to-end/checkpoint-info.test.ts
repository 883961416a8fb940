/**
 * `rookery info` of a sharded checkpoint in the official layout whose weights are holes in sparse files. `npm run test:long`
 * makes it 40 GB with the tensors of Hunyuan-Large, and holds the command to 5 seconds and 500 MB.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { promisify } from "node:util";
import type { TensorToWrite } from "../../src/formats/safetensors.ts";
import { buildHeader } from "../../src/formats/safetensors-header.ts";
import { planShards } from "../../src/formats/safetensors-shards.ts";
import { inFileOrder } from "../../src/formats/safetensors-writer.ts";
import { toLayoutConfig } from "../../src/interop/layout.ts";
import { expectedTensors } from "../../src/interop/model-tensors.ts";
import { account } from "../../src/model/accounting.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { presets } from "../../src/model/presets.ts";

const isLong = process.env.ROOKERY_LONG_TESTS !== undefined;
const maxShardBytes = isLong ? 5e9 : 2e7;
const root = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-checkpoint-"));
after(() => fs.rmSync(root, { recursive: true, force: true }));

const config: ModelConfig = {
  ...presets["hunyuan-large"],
  ...(isLong
    ? { hiddenSize: 1600, headDim: 20, intermediateSize: 3840 }
    : { hiddenSize: 320, headDim: 4, intermediateSize: 384, vocabularySize: 1000, numHiddenLayers: 8 }),
  maxPositionEmbeddings: 4096,
};

/** Files of the right length with a header each, and the router's bias of every layer, as the released files have it. */
function writeSparse(folder: string, maxShardBytes: number): number {
  fs.mkdirSync(folder);
  const extras: [string, number[]][] = Array.from({ length: config.numHiddenLayers }, (_, layer) => [
    `model.layers.${layer}.mlp.gate.wg.bias`,
    [config.numExperts],
  ]);
  const tensors = [...expectedTensors(config), ...extras].map(
    ([name, shape]): TensorToWrite => ({ name, dtype: "BF16", shape, bytes: new Uint8Array() }),
  );
  const { files, index } = planShards("model", tensors, maxShardBytes);
  let total = 0;
  for (const [name, shard] of files) {
    const { bytes, entries } = buildHeader(inFileOrder(shard), { format: "pt" });
    const length = entries.reduce((sum, { byteLength }) => sum + byteLength, bytes.byteLength);
    fs.writeFileSync(path.join(folder, name), bytes);
    fs.truncateSync(path.join(folder, name), length);
    total += length;
  }
  fs.writeFileSync(path.join(folder, index!.fileName), index!.text);
  fs.writeFileSync(path.join(folder, "config.json"), JSON.stringify(toLayoutConfig(config, "hunyuan")));
  return total;
}

const countMemory = 'process.on("exit",()=>process.stderr.write("maxRSS="+process.resourceUsage().maxRSS))';

describe("rookery info of a sharded checkpoint", () => {
  it(`tells what ${isLong ? "40 GB" : "a few hundred megabytes"} hold from the headers alone`, async () => {
    const folder = path.join(root, "model");
    const total = writeSparse(folder, maxShardBytes);
    if (isLong) assert.ok(total > 40e9, `${total} bytes`);
    const start = performance.now();
    const command = ["--import", `data:text/javascript,${encodeURIComponent(countMemory)}`, "bin/rookery.js"];
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [...command, "info", folder, "--json"], {
      cwd: path.join(import.meta.dirname, "../.."),
      maxBuffer: 1e7,
    });
    const seconds = (performance.now() - start) / 1000;
    const { directory, parameters } = JSON.parse(stdout);
    assert.equal(directory.tensors, expectedTensors(config).size);
    assert.ok(directory.files > 4);
    assert.equal(directory.byteLength, total);
    assert.deepEqual(directory.bytesOfType, { BF16: 2 * account(config).parameters.total });
    assert.equal(parameters.total, account(config).parameters.total);
    assert.match(directory.notes.join(), new RegExp(`${config.numHiddenLayers} bias tensors were passed over`));
    const megabytes = Number(/maxRSS=(\d+)/.exec(stderr)![1]) / 1024;
    if (!isLong) return;
    assert.ok(seconds < 5, `${seconds} s`);
    assert.ok(megabytes < 500, `${megabytes} MB`);
  });

  it("names the tensor that is not as config.json says", async () => {
    const folder = path.join(root, "other");
    writeSparse(folder, maxShardBytes);
    const file = path.join(folder, "config.json");
    fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace('"num_experts":16', '"num_experts":15'));
    const command = ["bin/rookery.js", "info", folder];
    await assert.rejects(
      promisify(execFile)(process.execPath, command, { cwd: path.join(import.meta.dirname, "../..") }),
      { code: 2, stderr: /mlp\.gate\.wg\.weight" is \[16, \d+\] instead of \[15/ },
    );
  });
});
