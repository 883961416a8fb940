/** Clients of every kind, all at once: those that read, that leave, that send nonsense, and that ask for too much. */
import { below, type StreamKeys, streamKeys } from "../src/base/random.ts";
import { readEvents } from "./serving.ts";

export type SoakOptions = {
  url: string;
  /** Clients at a time. */
  clients: number;
  seconds: number;
  seed: number;
  /** Most tokens of an answer. */
  mostTokens: number;
  /** Characters that are certainly too many for the model. */
  overLongCharacters: number;
};

export type SoakResult = {
  /** How many clients met with what: "read", "left", "refused: 400", … */
  outcomes: Record<string, number>;
  /** What should not have happened, the first few of it. */
  faults: string[];
};

type Draw = (bound: number) => number;

const systems = ["the penguins and the chicks on the rock. ".repeat(12), "the cold sea. ".repeat(30)];

/** Runs `clients` clients one after another in as many places, until the time is over. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const outcomes: Record<string, number> = {};
  const faults: string[] = [];
  const end = performance.now() + options.seconds * 1000;
  const place = async (number: number) => {
    for (let round = 0; performance.now() < end && faults.length < 20; round++) {
      const keys: StreamKeys = streamKeys(options.seed, "soak", number, round);
      let drawn = 0;
      try {
        const outcome = await beClient(options, (bound) => below(bound, keys, drawn++));
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
      } catch (error) {
        faults.push(`client ${number}.${round}: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
      }
    }
  };
  await Promise.all(Array.from({ length: options.clients }, (_, number) => place(number)));
  return { outcomes, faults };
}

async function beClient(options: SoakOptions, draw: Draw): Promise<string> {
  const kind = draw(20);
  if (kind < 11) return await readStream(options, draw);
  if (kind < 15) return await leave(options, draw);
  if (kind === 15) return await sendNonsense(options, draw);
  if (kind === 16) return await sendTooMuch(options, draw);
  if (kind === 17) return await askForScores(options, draw);
  return await readWhole(options, draw);
}

function chatOf({ mostTokens }: SoakOptions, draw: Draw): Record<string, unknown> {
  const content = Array.from({ length: 1 + draw(40) }, () => ["rock", "sea", "penguin", "cold"][draw(4)]).join(" ");
  return {
    // Some share their beginning, so that the prefix cache has something to do.
    messages: [
      { role: "system", content: systems[draw(3)] ?? content },
      { role: "user", content },
    ],
    max_tokens: 1 + draw(mostTokens),
    seed: draw(1000),
  };
}

const post = (url: string, path: string, body: string, signal?: AbortSignal) =>
  fetch(url + path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body,
    ...(signal === undefined ? {} : { signal }),
  });

/** Whether the server has no room just now, which it may say at any time. */
async function isRefused(response: Response, allowed: readonly number[]): Promise<boolean> {
  if (response.status === 200) return false;
  const text = await response.text();
  if (![429, ...allowed].includes(response.status)) throw new Error(`status ${response.status}: ${text.slice(0, 300)}`);
  if (response.status === 429 && response.headers.get("retry-after") === null) throw new Error("429 without a time");
  JSON.parse(text);
  return true;
}

async function readStream(options: SoakOptions, draw: Draw): Promise<string> {
  const body = JSON.stringify({ ...chatOf(options, draw), stream: true, stream_options: { include_usage: true } });
  const response = await post(options.url, "/v1/chat/completions", body);
  if (await isRefused(response, [])) return "refused: 429";
  const events = readEvents(await response.text());
  if (events.at(-1)?.data !== "[DONE]") throw new Error(`a stream ended with ${events.at(-1)?.data}`);
  const { usage } = JSON.parse(events.at(-2)?.data ?? "");
  if (!(usage?.completion_tokens >= 0)) throw new Error(`a stream without usage: ${events.at(-2)?.data}`);
  return "read";
}

/** Goes away: before an answer, after its headers, or some chunks later. */
async function leave(options: SoakOptions, draw: Draw): Promise<string> {
  const controller = new AbortController();
  const body = JSON.stringify({ ...chatOf(options, draw), max_tokens: options.mostTokens, stream: draw(3) > 0 });
  const when = draw(3);
  const answer = post(options.url, "/v1/chat/completions", body, controller.signal);
  if (when === 0) setTimeout(() => controller.abort(), draw(50));
  try {
    const response = await answer;
    if (await isRefused(response, [])) return "refused: 429";
    const reader = response.body?.getReader();
    for (let chunk = 0; chunk < when * draw(10); chunk++) await reader?.read();
    controller.abort();
    await reader?.read();
  } catch (error) {
    if (!controller.signal.aborted) throw error;
  }
  return "left";
}

async function sendNonsense({ url }: SoakOptions, draw: Draw): Promise<string> {
  const bodies = ['{"messages": [', "\0\0", "[]", '{"messages": 3}', '{"messages": [{"role": "x"}]}', "{".repeat(5000)];
  const response = await post(url, "/v1/chat/completions", bodies[draw(bodies.length)]!);
  if (!(await isRefused(response, [400]))) throw new Error("nonsense was answered");
  return `refused: ${response.status}`;
}

async function sendTooMuch({ url, overLongCharacters }: SoakOptions, draw: Draw): Promise<string> {
  const content = "cold ".repeat(overLongCharacters / 5);
  const body = { messages: [{ role: "user", content: draw(2) ? content : content.repeat(50) }] };
  const response = await post(url, "/v1/chat/completions", JSON.stringify(body));
  if (!(await isRefused(response, [400, 413]))) throw new Error("a prompt that is too long was answered");
  return `refused: ${response.status}`;
}

async function askForScores({ url }: SoakOptions, draw: Draw): Promise<string> {
  const prompt = Array.from({ length: 1 + draw(4) }, () => Array.from({ length: 1 + draw(60) }, () => draw(256)));
  const body = { prompt, max_tokens: 1, logprobs: 1, echo: true, temperature: 0, seed: 1234 };
  const response = await post(url, "/v1/completions", JSON.stringify(body));
  if (await isRefused(response, [])) return "refused: 429";
  const { choices } = (await response.json()) as { choices: { logprobs: { token_logprobs: (number | null)[] } }[] };
  for (const [at, { logprobs }] of choices.entries()) {
    const [first, ...others] = logprobs.token_logprobs;
    const isRight = first === null && others.length === prompt[at]?.length && others.every(Number.isFinite);
    if (!isRight) throw new Error(`wrong log-probabilities: ${JSON.stringify(logprobs.token_logprobs)}`);
  }
  return "scored";
}

async function readWhole(options: SoakOptions, draw: Draw): Promise<string> {
  const response = await post(
    options.url,
    "/v1/chat/completions",
    JSON.stringify({ ...chatOf(options, draw), n: 1 + draw(2) }),
  );
  if (await isRefused(response, [])) return "refused: 429";
  const { choices } = (await response.json()) as { choices: { finish_reason: string }[] };
  if (!choices.every(({ finish_reason }) => ["stop", "length"].includes(finish_reason))) throw new Error("no end");
  return "read";
}
