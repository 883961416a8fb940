// Watches how evenly tokens fall on the experts while a model learns, and stops when one of them takes nearly all.
import { RookeryError } from "rookery";
import { train } from "rookery/train";

const [data = "notes", steps = "200"] = process.argv.slice(2);
const stop = new AbortController();
const mostLoad = 7; // of nano's eight experts, 8 would be one that gets every token

try {
  await train(
    { data: [data], steps: Number(steps), routing: "recycle", balanceCoefficient: 0.01 },
    {
      signal: stop.signal,
      onEvent: (event) => {
        if (event.type !== "training-step" || event.step % 5 > 0) return;
        const { step, maxLoad, recycledShare, droppedShare } = event;
        const bar = "█".repeat(Math.round(maxLoad * 8));
        console.log(`${step} ${bar} ${maxLoad.toFixed(2)}× (recycled ${recycledShare}, dropped ${droppedShare})`);
        if (step > 100 && maxLoad > mostLoad) stop.abort();
      },
    },
  );
} catch (error) {
  if (!(error instanceof RookeryError && error.code === "INTERRUPTED")) throw error;
  console.log("stopped and saved");
}
