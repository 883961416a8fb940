/** Server-sent events over a web stream. What waits for a slow reader is bounded, and a reader that leaves ends the work. */
import { type ApiError, toApiError } from "./errors.ts";

export type EventStreamOptions = {
  /** The reader has left. */
  onLeave(): void;
  /** The reader is further behind than `bufferBytes`. */
  onTooSlow(): void;
  bufferBytes: number;
  pingMilliseconds: number;
  /** The data of an error event; its name where events have names. */
  describeError(error: ApiError): { data: object; event?: string };
  /** Called once, when all has been sent or given up. */
  onEnd(error: unknown): void;
};

/** Sends one event: an object as JSON, or text as it is. */
export type Send = (data: object | string, event?: string) => void;

/**
 * Answers with the events that `produce` sends. The headers wait for the first of them (or for the first ping, where a long
 * prompt is read): what fails earlier still becomes an answer with a status of its own. What fails later becomes an error event,
 * and the stream ends there, without the mark of a whole answer.
 */
export async function eventStream(
  produce: (send: Send) => Promise<void>,
  options: EventStreamOptions,
): Promise<Response> {
  const { bufferBytes } = options;
  const encoder = new TextEncoder();
  const started = Promise.withResolvers<void>();
  let sink: ReadableStreamDefaultController<Uint8Array> | undefined;
  let isStarted = false;
  const body = new ReadableStream<Uint8Array>(
    {
      start: (one) => {
        sink = one;
      },
      cancel: () => {
        sink = undefined;
        options.onLeave();
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: bufferBytes }),
  );
  const write = (text: string) => {
    if (sink === undefined) return;
    sink.enqueue(encoder.encode(text));
    isStarted = true;
    started.resolve();
    if ((sink.desiredSize ?? 0) >= 0) return;
    // What is queued is dropped with the stream: a reader that far behind would never see the end.
    sink.error(new Error("the reader is too slow"));
    sink = undefined;
    options.onTooSlow();
  };
  const ping = setInterval(() => write(": ping\n\n"), options.pingMilliseconds);
  const send: Send = (data, event) => {
    ping.refresh();
    write(eventText(data, event));
  };
  const end = (error?: unknown) => {
    clearInterval(ping);
    options.onEnd(error);
  };
  produce(send).then(
    () => {
      end();
      sink?.close();
      started.resolve();
    },
    (error: unknown) => {
      end(error);
      if (!isStarted) {
        started.reject(error);
        return;
      }
      const { data, event } = options.describeError(toApiError(error));
      write(eventText(data, event));
      sink?.close();
    },
  );
  await started.promise;
  return new Response(body, {
    headers: {
      "Content-Type": "text/event-stream; charset=utf-8",
      "Cache-Control": "no-cache",
      // Proxies that gather answers before they pass them on would undo the streaming.
      "X-Accel-Buffering": "no",
    },
  });
}

function eventText(data: object | string, event: string | undefined): string {
  const name = event === undefined ? "" : `event: ${event}\n`;
  return `${name}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
}
