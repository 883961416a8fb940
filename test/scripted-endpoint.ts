/** A model that is a table: it plays every role of synthesis at once, and the same request gets the same answer. */
import { createHash } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export type ScriptedBody = {
  model: string;
  messages: { role: string; content: string }[];
  seed?: number;
  response_format?: { json_schema?: { schema: object } };
};

const words =
  "amber basin cedar delta ember fjord gravel harbor inlet jasper kelp lagoon meadow nectar orchard pebble quarry ridge summit tundra umber valley willow yarrow zephyr beacon canyon drift estuary flint glacier".split(
    " ",
  );
const signs = "山水火木金土日月星云风雨雪花草树鸟鱼马牛羊门窗桥路车船书笔纸墨琴棋画茶酒米面糖盐";

function numbersOf(text: string): number[] {
  return [...createHash("sha256").update(text).digest()];
}

/** A question that no other request gives rise to. */
function questionOf(key: string, isChinese: boolean): string {
  const numbers = numbersOf(key);
  if (isChinese)
    return `请说明${numbers
      .slice(0, 10)
      .map((one) => signs[one % signs.length])
      .join("")}是什么，为什么重要？`;
  return `How does the ${numbers
    .slice(0, 9)
    .map((one) => words[one % words.length])
    .join(" ")} matter to a visitor?`;
}

export type Role = "generate" | "label" | "evolve" | "check" | "critique" | "answer";

export function roleOf({ messages }: ScriptedBody): Role {
  const system = messages[0]?.role === "system" ? messages[0].content : "";
  if (system.startsWith("You write instructions")) return "generate";
  if (system.startsWith("You sort passages")) return "label";
  if (system.startsWith("You rewrite instructions")) return "evolve";
  if (system.startsWith("You check instructions")) return "check";
  if (system.startsWith("You judge")) return "critique";
  return "answer";
}

/** What the model says. A tenth of what it evolves loses its task, and a tenth of its answers is of the lowest tier. */
export function scriptedAnswer(body: ScriptedBody): string {
  const key = JSON.stringify([body.messages, body.seed]);
  const prompt = body.messages.at(-1)!.content;
  const isChinese = prompt.includes("in Chinese");
  const dice = numbersOf(`dice ${key}`)[0]!;
  switch (roleOf(body)) {
    case "generate": {
      const count = Number(/Write (\d+) different/.exec(prompt)?.[1] ?? 1);
      return JSON.stringify({
        instructions: Array.from({ length: count }, (_, one) => questionOf(`${key} ${one}`, isChinese)),
      });
    }
    case "label":
      return JSON.stringify({ domain: /which of these is it about: ([^,?]+)/i.exec(prompt)?.[1] });
    case "evolve":
      return JSON.stringify({ instruction: questionOf(key, isChinese) });
    case "check":
      return JSON.stringify({ comment: "looked at", keepsTask: dice >= 25, isAnswerable: true });
    case "critique": {
      const tier = dice < 25 ? 1 : 4;
      const scores = { accuracy: tier, relevance: tier, completeness: tier, usefulness: tier, clarity: tier };
      return JSON.stringify({ comment: "read", ...scores, tier });
    }
    case "answer": {
      const letters = numbersOf(prompt);
      const said = letters
        .slice(0, 12)
        .map((one) => (/[一-鿿]/.test(prompt) ? signs[one % signs.length] : words[one % words.length]));
      return `${said.join(/[一-鿿]/.test(prompt) ? "" : " ")}.\nAnswer: ${letters[20]}`;
    }
  }
}

export function completionOf(text: string): object {
  return {
    choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }],
    usage: { prompt_tokens: 100, completion_tokens: Math.ceil(text.length / 4) },
  };
}

/** For `fetch` of an endpoint in the same process. */
export function scriptedFetch(onRequest: (body: ScriptedBody) => Response | undefined = () => undefined) {
  return (url: string, init: RequestInit): Response => {
    if (url.endsWith("/models")) return Response.json({ data: [{ id: "scripted" }] });
    const body = JSON.parse(String(init.body)) as ScriptedBody;
    return onRequest(body) ?? Response.json(completionOf(scriptedAnswer(body)));
  };
}

/** The same over HTTP, for processes of their own. `onAnswer` hears of each body once its answer has been handed over. */
export async function serveScripted(
  onRequest: (body: string) => void,
  onAnswer: (body: string) => void,
  answer: (body: ScriptedBody) => string = scriptedAnswer,
): Promise<{ url: string; server: Server }> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      response.setHeader("content-type", "application/json");
      if (request.url!.endsWith("/models")) {
        response.end(JSON.stringify({ data: [{ id: "scripted" }] }));
        return;
      }
      const text = Buffer.concat(parts).toString();
      onRequest(text);
      response.end(JSON.stringify(completionOf(answer(JSON.parse(text)))), () => onAnswer(text));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}
