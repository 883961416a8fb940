// A model in a program: token by token, with a limit of time, and several at once.
import { loadEngine } from "rookery";

const [model = "nano-1", prompt = "Once upon a time"] = process.argv.slice(2);
await using engine = await loadEngine(model);

for await (const { text } of engine.write(prompt, { maxTokens: 64, signal: AbortSignal.timeout(60_000) })) {
  process.stdout.write(text);
}
process.stdout.write("\n");

// A chat, and two answers at once: they go through the model together.
const answers = ["What is a penguin?", "企鹅是什么?"].map(async (content) => {
  let answer = "";
  for await (const { text } of engine.write([{ role: "user", content }], { maxTokens: 32, temperature: 0 })) {
    answer += text;
  }
  return answer;
});
console.log(await Promise.all(answers));

const ids = await engine.encode(prompt);
console.log(`${ids.length} tokens: ${engine.decode(ids)}`);
