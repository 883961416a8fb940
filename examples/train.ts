// Trains on a folder of texts and tells how it goes. Ctrl-C saves the run: `resume: true` goes on with it.
import { train } from "rookery/train";

const [data = "notes", minutes = "5", name] = process.argv.slice(2);
const stop = new AbortController();
process.once("SIGINT", () => stop.abort());

const result = await train(
  { data: [data], minutes: Number(minutes), ...(name ? { name } : {}) },
  {
    signal: stop.signal,
    onEvent: (event) => {
      if (event.type === "evaluation") console.log(`step ${event.step}: ${event.bitsPerByte.toFixed(3)} bits per byte`);
      else if (event.type === "warning") console.error(event.message);
    },
  },
);
console.log(`${result.modelFolder}: ${result.tokens} tokens, ${result.bitsPerByte?.toFixed(3)} bits per byte`);
