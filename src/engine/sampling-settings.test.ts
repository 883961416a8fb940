import assert from "node:assert/strict";
import { it } from "node:test";
import { checkSamplingSettings } from "./sampling-settings.ts";

it("settings out of range are named", () => {
  for (const [settings, message] of [
    [{ temperature: -1 }, "temperature is -1"],
    [{ temperature: Number.NaN }, "temperature is NaN"],
    [{ temperature: 1, topK: 0 }, "topK is 0"],
    [{ temperature: 1, topK: 1.5 }, "topK is 1.5"],
    [{ temperature: 1, topP: 0 }, "topP is 0"],
    [{ temperature: 1, topP: 1.1 }, "topP is 1.1"],
    [{ temperature: 1, topP: 5e-324 }, "topP is 5e-324"],
    [{ temperature: 1e39 }, "temperature is 1e+39"],
    [{ temperature: 1, repetitionPenalty: 1e-60 }, "repetitionPenalty is 1e-60"],
    [{ temperature: 1, minP: 2 }, "minP is 2"],
    [{ temperature: 1, repetitionPenalty: 0 }, "repetitionPenalty is 0"],
    [{ temperature: 1, presencePenalty: 2.1 }, "presencePenalty is 2.1"],
    [{ temperature: 1, frequencyPenalty: -3 }, "frequencyPenalty is -3"],
    [{ temperature: 1, logitBias: [[-1, 1]] }, "logitBias names token -1"],
    [{ temperature: 1, logitBias: [[100, 1]] }, "logitBias names token 100"],
    [
      {
        temperature: 1,
        logitBias: [
          [3, 1],
          [3, 2],
        ],
      },
      "logitBias names token 3 twice",
    ],
    [{ temperature: 1, logitBias: [[3, Number.NaN]] }, "logitBias of token 3 is NaN"],
    [{ temperature: 1, logitBias: Array(1025).fill([0, 0]) }, "logitBias has 1025 entries"],
  ] as const) {
    assert.throws(() => checkSamplingSettings(settings, 100), { code: "INVALID_OPTION", message });
  }
  const good = { temperature: 0, topK: 1, topP: 1, minP: 0, repetitionPenalty: 1, presencePenalty: -2 };
  checkSamplingSettings({ ...good, frequencyPenalty: 2, logitBias: [[99, -100]] }, 100);
});
