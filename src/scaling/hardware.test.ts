import assert from "node:assert/strict";
import { test } from "node:test";
import { numKeyValueGroups } from "../model/config.ts";
import { presets } from "../model/presets.ts";
import { accelerators } from "./accelerators.ts";
import { familyMember } from "./family.ts";
import { planHardware } from "./hardware.ts";
import { chooseLayout, fewestDevices } from "./layout.ts";
import { plan } from "./plan.ts";

const config = familyMember(presets["hunyuan-large"], 5.81e10);
const usual = { accelerator: "h100-sxm", utilization: 0.4, sequenceLength: 8192 } as const;
const perDay = 989e12 * 0.4 * 86_400;

test("stages are whole groups of layers, whatever their number", () => {
  // 35 groups of two layers: no power of two divides them
  assert.equal(numKeyValueGroups(config), 35);
  const layout = chooseLayout(config, accelerators["tpu-v5p"], 2240, 8192);
  assert.ok(layout.isFeasible && layout.pipelineParallel > 1 && 35 % layout.pipelineParallel === 0);
  assert.equal(layout.devices, 2240);
  // four devices a node
  assert.ok(layout.tensorParallel <= 4);
});

test("tensor parallelism divides KV heads and the experts' width", () => {
  const odd = { ...presets["hunyuan-large"], intermediateSize: 18_305 };
  assert.equal(chooseLayout(odd, accelerators["h100-sxm"], 1024, 8192).tensorParallel, 1);
  const threeHeads = { ...presets["hunyuan-large"], numAttentionHeads: 78, numKeyValueHeads: 6 };
  assert.ok(chooseLayout(threeHeads, accelerators["h100-sxm"], 1024, 8192).tensorParallel <= 2);
});

test("the fewest devices are the fewest on which a split fits", () => {
  for (const name of ["h100-sxm", "h200-sxm", "tpu-v5p"] as const) {
    const device = accelerators[name];
    const fewest = fewestDevices(config, device, 8192)!;
    assert.equal(fewest % device.devicesPerNode, 0);
    assert.ok(chooseLayout(config, device, fewest, 8192).isFeasible);
    assert.ok(!chooseLayout(config, device, fewest - device.devicesPerNode, 8192).isFeasible, name);
  }
  assert.equal(fewestDevices(presets.nano, accelerators.h20, 256), 1);
  assert.equal(fewestDevices(config, accelerators.h20, 2 ** 24), null);
});

test("days ask for as many devices as keep to them, on which the model fits and none is idle", () => {
  for (const days of [30, 90, 5000]) {
    const { devices, layout, days: taken, fewestDevices: fewest } = planHardware(config, 3.11e24, { ...usual, days });
    assert.ok(taken <= days && layout.isFeasible && devices >= fewest!);
    assert.equal(layout.devices, devices);
  }
  const byDefault = planHardware(config, 3.11e24, usual);
  assert.deepEqual(byDefault, planHardware(config, 3.11e24, { ...usual, days: 90 }));
  assert.equal(planHardware(presets.nano, 3 * perDay, { ...usual, days: 1, sequenceLength: 256 }).devices, 3);
  assert.throws(() => planHardware(config, 3.11e24, { ...usual, days: 1e-9 }), {
    code: "INVALID_OPTION",
    message: /more than 1048576/,
  });
  // without days there is no promise to keep
  assert.ok(planHardware(config, 1e33, usual).devices >= 2 ** 20);
});

test("a plan says when devices are idle, and when the batch has too few rows for its ranks", () => {
  const warningsOf = (options: object) => plan({ compute: 3e21, ...options }).warnings.join("\n");
  assert.match(warningsOf({ devices: 7 }), /the layout uses 6 of 7 devices/);
  assert.match(warningsOf({ devices: 1000 }), /is 378 rows of 8192 for 1000 data-parallel ranks/);
  assert.match(warningsOf({ batchTokens: 100 }), /is 0 rows of 8192/);
  assert.match(warningsOf({ sequenceLength: 2 ** 24 }), /no split fits NVIDIA H100 SXM with rows of 16777216 tokens/);
  assert.doesNotMatch(warningsOf({}), /devices|rows of/);
});

test("heads of large members of a family can be split", () => {
  for (const size of [2e11, 5e11, 1e12]) {
    assert.equal(familyMember(presets["hunyuan-large"], size).numKeyValueHeads % 4, 0);
  }
});
