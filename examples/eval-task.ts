// A task of one's own: questions that are made here, answers that are scored here. Also: rookery eval run MODEL --tasks examples/eval-task.ts
import { defineTask, evaluate } from "rookery/eval";

const sums = Array.from({ length: 20 }, (_, index) => ({ left: index % 7, right: (index * 3) % 5 }));

export default defineTask({
  name: "sums",
  title: "small sums",
  kind: "generate",
  splits: { test: ["test"] },
  shots: { count: 2, draw: "first" },
  make: ({ most }) => ({ test: sums.slice(4, 4 + most), shots: sums.slice(0, 4) }),
  prompt: ({ left, right }) => `${left} + ${right} =`,
  target: ({ left, right }) => String(Number(left) + Number(right)),
  references: ({ left, right }) => [String(Number(left) + Number(right))],
  stop: ["\n"],
  maxTokens: 8,
  scorers: [{ name: "exact", score: (answer, { references }) => Number(references.includes(answer.trim())) }],
});

if (import.meta.main) {
  // not awaited at the top: the evaluation imports this file, too
  evaluate({ model: process.argv[2] ?? "nano-1", tasks: [import.meta.filename] }).then(({ tasks, folder }) => {
    for (const task of tasks) console.log(`${task.task}: ${task.count} questions`, task.metrics, folder);
  });
}
