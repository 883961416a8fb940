/** Server-sent events, as they come over HTTP. */
import { RookeryError } from "../base/errors.ts";

/** An event may be as long as a body of logits, but must end some time. */
const longestEvent = 16 * 2 ** 20;

/**
 * The `data` of each event of a body, until it ends.
 * @throws RookeryError ENDPOINT_FAILED for an event without end; what reading the body throws.
 */
export async function* eventData(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  let data: string[] = [];
  let length = 0;
  for await (const bytes of body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split(/\r?\n/);
    rest = lines.pop()!;
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) yield data.join("\n");
        data = [];
        length = 0;
      } else if (line.startsWith("data:")) {
        data.push(line.slice(5).replace(/^ /, ""));
        length += line.length;
      }
    }
    if (rest.length + length > longestEvent) {
      throw new RookeryError("ENDPOINT_FAILED", "the server sent an event of over 16 MiB", "use another server");
    }
  }
}
