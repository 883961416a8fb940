/** Tasks as the records that alignment reads: conversations, preference pairs, and prompts with a verified answer. */
import { Draws } from "./random.ts";
import type { Task, TaskDialogue } from "./task.ts";

const named = ({ id, family, language }: Task | TaskDialogue) => ({ id, family, language });

/** For `rookery sft`, and for evaluation: the messages form. */
export function taskConversation(task: Task) {
  return {
    messages: [
      { role: "user", content: task.question },
      { role: "assistant", content: task.answer },
    ],
    ...named(task),
  };
}

/** The same of several questions about one passage. */
export function dialogueConversation(dialogue: TaskDialogue) {
  const messages = dialogue.turns.flatMap(({ question, answer }) => [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ]);
  return { messages, ...named(dialogue) };
}

/** For `rookery reward` and `rookery dpo`: the right answer against one of the plausible wrong ones. */
export function taskPreference(task: Task, seed: number) {
  const rejected = new Draws(seed, "wrong answer", task.id).pick(task.wrong);
  return { prompt: [{ role: "user", content: task.question }], chosen: task.answer, rejected, ...named(task) };
}

/** A question with its answer as plain text, the way that a model which only continues texts is asked; without an answer, to be continued. */
export function taskText({ question, answer }: { question: string; answer?: string }): string {
  return `Question: ${question}\nAnswer:${answer === undefined ? "" : ` ${answer}`}`;
}

/** What stands between two such questions. */
export const betweenTaskTexts = "\n\n";

/** For pretraining: several questions with their answers as one document. */
export function taskDocument(questions: readonly { question: string; answer: string }[]) {
  return { text: questions.map(taskText).join(betweenTaskTexts) };
}
