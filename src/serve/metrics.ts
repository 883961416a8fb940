/** Counters and histograms in Prometheus' text format (version 0.0.4). Names follow vLLM's, so that dashboards carry over. */
import type { EngineInfo, EngineStats } from "../engine/request.ts";

export const metricsContentType = "text/plain; version=0.0.4; charset=utf-8";

type Labels = Record<string, string | number>;

/** Upper bounds in seconds, from a short answer's token to a book's prefill. */
const latencyBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900];

/** Observations of one quantity, counted by upper bound. */
export class Histogram {
  readonly #counts = new Array<number>(latencyBounds.length + 1).fill(0);
  #sum = 0;
  #count = 0;

  observe(value: number): void {
    const at = latencyBounds.findIndex((bound) => value <= bound);
    this.#counts[at === -1 ? latencyBounds.length : at]!++;
    this.#sum += value;
    this.#count++;
  }

  lines(name: string): string[] {
    let below = 0;
    const buckets = [...latencyBounds, "+Inf"].map((bound, index) => {
      below += this.#counts[index]!;
      return sample(`${name}_bucket`, below, { le: bound });
    });
    return [...buckets, sample(`${name}_sum`, this.#sum), sample(`${name}_count`, this.#count)];
  }
}

/** What the server itself counts; the rest is the engine's. */
export class Metrics {
  readonly timeToFirstToken = new Histogram();
  readonly interTokenLatency = new Histogram();
  readonly requestLatency = new Histogram();
  /** By route and status: both come from short lists, so that no client can make it grow. */
  readonly #requests = new Map<string, { labels: Labels; count: number }>();
  readonly #finished = new Map<string, number>();

  countRequest(route: string, status: number): void {
    const key = `${route} ${status}`;
    const entry = this.#requests.get(key);
    if (entry) entry.count++;
    else this.#requests.set(key, { labels: { route, status }, count: 1 });
  }

  countFinished(reason: string): void {
    this.#finished.set(reason, (this.#finished.get(reason) ?? 0) + 1);
  }

  /** The whole page. `inFlight`: requests that the server works on. */
  expose(info: EngineInfo, stats: EngineStats, inFlight: number): string {
    const { pagesInUse, pagesCached, pagesFree } = stats;
    const pages = pagesInUse + pagesCached + pagesFree;
    const lines: string[] = [];
    const put = (type: string, name: string, help: string, samples: string[]) =>
      lines.push(`# HELP rookery_${name} ${help}`, `# TYPE rookery_${name} ${type}`, ...samples);
    const single = (type: string, name: string, help: string, value: number, labels: Labels = {}) =>
      put(type, name, help, [sample(`rookery_${name}`, value, labels)]);
    const gauge = single.bind(undefined, "gauge");
    const counter = single.bind(undefined, "counter");
    const histogram = (name: string, help: string, values: Histogram) =>
      put("histogram", name, help, values.lines(`rookery_${name}`));

    gauge("num_requests_running", "Sequences in the batch.", stats.running);
    gauge("num_requests_waiting", "Requests in the engine's queue.", stats.waiting);
    gauge("queue_limit", "Requests that may wait before more are refused.", info.queueLimit);
    gauge("http_requests_in_flight", "Requests that the server works on.", inFlight);
    gauge(
      "kv_cache_usage_perc",
      "Share of the pages that sequences hold, from 0 to 1.",
      pages ? pagesInUse / pages : 0,
    );
    put("gauge", "kv_cache_pages", "Pages of the KV cache, by what they are for.", [
      sample("rookery_kv_cache_pages", pagesInUse, { state: "in_use" }),
      sample("rookery_kv_cache_pages", pagesCached, { state: "cached" }),
      sample("rookery_kv_cache_pages", pagesFree, { state: "free" }),
    ]);
    gauge("kv_cache_bytes_per_token", "Bytes that a token takes in the KV cache.", info.keyValueBytesPerToken, {
      dtype: info.keyValueCacheType,
    });
    counter("prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.", stats.promptTokens);
    counter("prefix_cache_hits_total", "Prompt tokens that the prefix cache had.", stats.cachedPromptTokens);
    counter("prompt_tokens_total", "Prompt tokens read.", stats.promptTokens);
    counter("generation_tokens_total", "Tokens generated.", stats.generatedTokens);
    counter("engine_steps_total", "Forward passes of the engine.", stats.steps);
    counter("expert_calls_total", "Grouped calls of the specialized experts.", stats.expertCalls);
    counter("num_preemptions_total", "Sequences put back for want of pages.", stats.preemptions);
    counter("engine_requests_finished_total", "Requests that the engine has finished.", stats.finishedRequests);
    counter("engine_requests_cancelled_total", "Requests whose client went away.", stats.cancelledRequests);
    put("counter", "expert_tokens_total", "Tokens that each specialized expert has taken.", expertSamples(stats));
    put(
      "counter",
      "request_success_total",
      "Answers given, by why they ended.",
      [...this.#finished].map(([reason, count]) =>
        sample("rookery_request_success_total", count, { finished_reason: reason }),
      ),
    );
    put(
      "counter",
      "http_requests_total",
      "Requests answered, by route and status.",
      [...this.#requests.values()].map(({ labels, count }) => sample("rookery_http_requests_total", count, labels)),
    );
    histogram("time_to_first_token_seconds", "From the request to its first token.", this.timeToFirstToken);
    histogram("inter_token_latency_seconds", "Between two tokens of one answer.", this.interTokenLatency);
    histogram("e2e_request_latency_seconds", "From the request to the end of its answer.", this.requestLatency);
    lines.push(
      "# HELP process_resident_memory_bytes Memory that the process holds.",
      "# TYPE process_resident_memory_bytes gauge",
      sample("process_resident_memory_bytes", process.memoryUsage.rss()),
    );
    return `${lines.join("\n")}\n`;
  }
}

function expertSamples({ expertLoad }: EngineStats): string[] {
  return expertLoad.flatMap((experts, layer) =>
    experts.map((tokens, expert) => sample("rookery_expert_tokens_total", tokens, { layer, expert })),
  );
}

function sample(name: string, value: number, labels: Labels = {}): string {
  const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(String(text))}"`);
  return `${name}${pairs.length > 0 ? `{${pairs.join(",")}}` : ""} ${value}`;
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}
