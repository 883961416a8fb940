/** A teacher with known faults: 30% of its answers are wrong, half of them the same on every sample, and its critic errs one time in ten. */
import { streamKeys, uniform } from "../../src/base/random.ts";
import type { Task } from "../../src/tasks/task.ts";

type Body = { messages: { role: string; content: string }[]; seed: number };

const dice = (...name: (string | number)[]): number => uniform(streamKeys(1, ...name), 0);

/** For `fetch` of an endpoint: the answers to these tasks. */
export function faultyTeacher(tasks: readonly Task[]): (url: string, init: RequestInit) => Response {
  const byQuestion = new Map(tasks.map((task) => [task.question, task]));
  return (url, init) => {
    if (url.endsWith("/models")) return Response.json({ data: [{ id: "teacher" }] });
    const body = JSON.parse(String(init.body)) as Body;
    const isCritique = body.messages[0]!.role === "system";
    return Response.json({
      choices: [{ index: 0, message: { content: isCritique ? critique(body) : answer(body) }, finish_reason: "stop" }],
      usage: { prompt_tokens: 100, completion_tokens: 10 },
    });
  };

  function answer({ messages, seed }: Body): string {
    const task = byQuestion.get(messages[0]!.content)!;
    if (dice("bias", task.question) < 0.15) return task.wrong[0]!;
    const isWrong = dice("wrong", task.question, seed) < 0.15 / 0.85;
    const which = Math.floor(dice("which", task.question, seed) * task.wrong.length);
    return isWrong ? task.wrong[which]! : task.answer;
  }

  function critique({ messages }: Body): string {
    const { conversation, answer: judged } = JSON.parse(messages[1]!.content) as {
      conversation: { content: string }[];
      answer: string;
    };
    const { question, answer: right } = byQuestion.get(conversation[0]!.content)!;
    const tier = (judged === right) !== dice("critic", question, judged) < 0.1 ? 4 : 1;
    const scores = { accuracy: tier, relevance: tier, completeness: tier, usefulness: tier, clarity: tier };
    return JSON.stringify({ comment: "compared", ...scores, tier });
  }
}
