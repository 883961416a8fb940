/** What the models of the recipe write, beside the figures that say how good they are. */
import { readQuestions } from "../align/exam.ts";
import type { CommandContext } from "../base/events.ts";
import { type LoadedEngine, loadEngine } from "../engine/load-engine.ts";
import type { ChatMessage } from "../text/chat-template.ts";

/** `expected`: the right answer to a question. */
export type Sample = { model: "pretrained" | "instruct"; prompt: string; text: string; expected?: string };

const beginnings = ["It was a cold morning, and", "The ocean"];
const shownQuestions = 3;
const mostTokens = 40;

/**
 * Texts that the pretrained model goes on with, and questions of the file that the aligned one answers.
 * The same texts for the same models. @throws RookeryError as `loadEngine` does, BAD_DATA; the signal's reason.
 */
export async function writeSamples(
  folders: { pretrained: string; instruct: string; questions: string },
  options: { threads?: number | undefined },
  context: CommandContext,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  const load = (folder: string) => loadEngine(folder, options.threads ? { threads: options.threads } : {}, context);
  {
    await using engine = await load(folders.pretrained);
    for (const prompt of beginnings) {
      samples.push({ model: "pretrained", prompt, text: await textOf(engine, prompt, 0.7, context) });
    }
  }
  const questions = await readQuestions([folders.questions], context);
  await using engine = await load(folders.instruct);
  for (const { messages, answer } of questions.slice(0, shownQuestions)) {
    const text = await textOf(engine, messages, 0, context);
    samples.push({ model: "instruct", prompt: messages.at(-1)!.content, text, expected: answer });
  }
  return samples;
}

async function textOf(
  engine: LoadedEngine,
  prompt: string | readonly ChatMessage[],
  temperature: number,
  { signal }: CommandContext,
): Promise<string> {
  let text = "";
  for await (const piece of engine.write(prompt, { maxTokens: mostTokens, temperature, seed: 1, signal })) {
    text += piece.text;
  }
  return text;
}
