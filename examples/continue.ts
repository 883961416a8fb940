// Begins where another model ended: its weights and its tokenizer, other texts, a lower rate.
// A run that was stopped goes on with `{ name, resume: true }` instead: the same bits as if it had never stopped.
import { train } from "rookery/train";

const [model = "nano-1", data = "notes", steps = "200"] = process.argv.slice(2);

const { modelFolder, bitsPerByte } = await train(
  { from: model, data: [data], steps: Number(steps), learningRate: 1e-3 },
  { onEvent: (event) => event.type === "run" && console.log(`writes ${event.path}`) },
);
console.log(`${modelFolder}: ${bitsPerByte?.toFixed(3)} bits per byte`);
