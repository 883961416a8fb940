// Texts from anywhere: records are written as they come, one JSON object a line, and mixed with a folder by weights.
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { train } from "rookery/train";

const [folder = "notes", steps = "200"] = process.argv.slice(2);

/** A database, an API, a crawl: whatever can be read piece by piece. */
async function* articles(): AsyncGenerator<{ title: string; body: string }> {
  for (let number = 1; number <= 400; number++) {
    yield {
      title: `Penguin ${number}`,
      body: `Penguin number ${number} has swum ${(number * 37) % 101} miles. 企鹅🐧`,
    };
  }
}

const out = createWriteStream("articles.jsonl");
for await (const { title, body } of articles()) {
  if (!out.write(`${JSON.stringify({ text: `${title}\n\n${body}` })}\n`)) await once(out, "drain");
}
out.end();
await once(out, "finish");

const { modelFolder, bitsPerByte } = await train({
  data: [
    { path: folder, weight: 0.7 },
    { path: "articles.jsonl", name: "articles", weight: 0.3, license: "CC0-1.0" },
  ],
  steps: Number(steps),
});
console.log(`${modelFolder}: ${bitsPerByte?.toFixed(3)} bits per byte`);
