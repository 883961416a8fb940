import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { serveScripted } from "../../test/serving.ts";
import { Histogram } from "./metrics.ts";

/** Reads Prometheus' text format, strictly: every sample belongs to a family that was announced before it. */
function parse(text: string): Map<string, number> {
  const values = new Map<string, number>();
  const types = new Map<string, string>();
  assert.ok(text.endsWith("\n"));
  for (const line of text.trimEnd().split("\n")) {
    const announced = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (announced) {
      assert.ok(!types.has(announced[1]!), `${announced[1]} twice`);
      types.set(announced[1]!, announced[2]!);
    }
    if (line.startsWith("#")) continue;
    const sample = /^([a-z0-9_:]+)((?:\{(?:[a-z_]+="[^"\\\n]*",?)*\})?) (-?[\d.e+-]+)$/.exec(line);
    assert.ok(sample, line);
    const family = sample[1]!.replace(/_(bucket|sum|count)$/, "");
    assert.ok(types.has(sample[1]!) || types.get(family) === "histogram", line);
    values.set(sample[1]! + sample[2]!, Number(sample[3]));
  }
  return values;
}

describe("metrics", () => {
  it("are the engine's counters and the server's own", async () => {
    const { app, post } = serveScripted();
    await post("/v1/completions", { prompt: "the", max_tokens: 3, n: 2 });
    await post("/v1/completions", { prompt: 3.5 });
    await app.request("/nope");
    const response = await app.request("/metrics");
    assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    const values = parse(await response.text());
    const expected = {
      'rookery_kv_cache_pages{state="free"}': 64,
      rookery_prefix_cache_queries_total: 100,
      rookery_prefix_cache_hits_total: 30,
      rookery_num_preemptions_total: 1,
      'rookery_expert_tokens_total{layer="1",expert="3"}': 5,
      'rookery_request_success_total{finished_reason="length"}': 2,
      'rookery_http_requests_total{route="/v1/completions",status="200"}': 1,
      'rookery_http_requests_total{route="/v1/completions",status="400"}': 1,
      'rookery_http_requests_total{route="other",status="404"}': 1,
      rookery_http_requests_in_flight: 0,
      rookery_time_to_first_token_seconds_count: 1,
      rookery_inter_token_latency_seconds_count: 4,
      rookery_e2e_request_latency_seconds_count: 2,
    };
    for (const [name, value] of Object.entries(expected)) assert.equal(values.get(name), value, name);
    assert.ok((values.get("process_resident_memory_bytes") ?? 0) > 1e6);
  });

  it("count each observation in every bucket that is large enough", () => {
    const histogram = new Histogram();
    for (const value of [0.001, 0.0011, 1, 5000]) histogram.observe(value);
    const lines = histogram.lines("x");
    assert.ok(lines.includes('x_bucket{le="0.001"} 1'));
    assert.ok(lines.includes('x_bucket{le="0.5"} 2'));
    assert.ok(lines.includes('x_bucket{le="900"} 3'));
    assert.ok(lines.includes('x_bucket{le="+Inf"} 4'));
    assert.ok(lines.includes("x_count 4"));
    assert.ok(lines.includes("x_sum 5001.0021"));
  });
});
