/** How the pages talk to the server they came from. Every address is relative, so that the server may be mounted anywhere. */

const keyName = "rookery.apiKey";

/** The API key lives as long as the tab. */
export const apiKey = {
  get: (): string => {
    try {
      return sessionStorage.getItem(keyName) ?? "";
    } catch {
      return "";
    }
  },
  set: (key: string): void => {
    try {
      if (key === "") sessionStorage.removeItem(keyName);
      else sessionStorage.setItem(keyName, key);
    } catch {
      // Without storage the server asks again at the next reload.
    }
  },
};

/** What went wrong, in words for a reader. `status` is 0 when no answer came at all. */
export class ServerError extends Error {
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;

  constructor(status: number, message: string, retryAfterSeconds?: number) {
    super(message);
    this.name = "ServerError";
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

const unreachable = "The server does not answer. It may have been stopped, or the connection is gone.";

/** @throws ServerError unless the answer is a success; the signal's reason when it is raised. */
export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const key = apiKey.get();
  if (key !== "") headers.set("Authorization", `Bearer ${key}`);
  let response: Response;
  try {
    response = await fetch(new URL(path, document.baseURI), { ...init, headers, credentials: "same-origin" });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ServerError(0, unreachable);
  }
  if (response.ok) return response;
  throw new ServerError(response.status, await messageOf(response), retryAfterOf(response));
}

export async function postJson(path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  return ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

function retryAfterOf(response: Response): number | undefined {
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 3600) : undefined;
}

async function messageOf(response: Response): Promise<string> {
  let told = "";
  try {
    const body: unknown = await response.json();
    told = errorText(body) ?? "";
  } catch {
    // No JSON: the status alone has to say it.
  }
  if (response.status === 401) return "The server asks for an API key.";
  if (response.status === 429) return "The server has all the work it can take.";
  return told === "" ? `The server answered with status ${response.status}.` : told;
}

/** The message of an error in OpenAI's shape. */
export function errorText(body: unknown): string | undefined {
  const error = (body as { error?: { message?: unknown } } | null)?.error;
  return typeof error?.message === "string" ? error.message.slice(0, 500) : undefined;
}

export type ServerSentEvent = { event: string; data: string };

/** The events of a `text/event-stream`, until it ends. @throws ServerError when the connection breaks. */
export async function* serverSentEvents(response: Response, signal?: AbortSignal): AsyncGenerator<ServerSentEvent> {
  if (response.body === null) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = "message";
  let data: string[] = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r?\n/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { event, data: data.join("\n") };
          event = "message";
          data = [];
        } else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
        else if (line.startsWith("event:")) event = line.slice(6).trim();
      }
    }
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ServerError(0, "The connection broke in the middle of the answer.");
  } finally {
    reader.cancel().catch(() => {});
  }
}
