/** Questions over paragraphs: made-up people and towns, or the published files of SQuAD and HotpotQA. */
import { z } from "zod";
import { RookeryError } from "../../base/errors.ts";
import { readJsonFile } from "../../base/files.ts";
import { Draws } from "../../tasks/random.ts";
import type { HaystackLanguage, Passage, Question, QuestionSource } from "./item.ts";
import { drawPerson, drawTown, isAbout, personPassage, townPassage, worldWords } from "./world.ts";

/** Questions about people and towns that no book tells of, so that only the text can answer them. */
export function madeUpQuestions(language: HaystackLanguage): { single: QuestionSource; twoHop: QuestionSource } {
  const words = worldWords[language];
  // one list of passages for all items of a source would repeat itself between texts: each item has its own seed
  const distractors = (question: Question, draws: Draws) => {
    const seed = draws.between(0, 2 ** 31 - 1);
    return (index: number): Passage => {
      for (let attempt = 0; ; attempt++) {
        const of = new Draws(seed, "distractor", index, attempt);
        const town = drawTown(of, language);
        const passage =
          index % 2 === 0
            ? personPassage(of, language, drawPerson(of, language), town)
            : townPassage(of, language, town);
        if (!isAbout(passage, question)) return passage;
      }
    };
  };
  return {
    single: {
      question(draws) {
        const [person, town] = [drawPerson(draws, language), drawTown(draws, language)];
        const { asked, answer } = draws.pick(words.questions(person));
        return { question: asked, answers: [answer], gold: [personPassage(draws, language, person, town)] };
      },
      distractors,
    },
    twoHop: {
      question(draws) {
        const [person, town] = [drawPerson(draws, language), drawTown(draws, language)];
        const { asked, answer } = draws.pick(words.twoHopQuestions(person, town));
        const gold = [personPassage(draws, language, person, town), townPassage(draws, language, town)];
        return { question: asked, answers: [answer], gold };
      },
      distractors,
    },
  };
}

const sentencesOf = (text: string) => text.split(/(?<=[.!?。！？])\s+/u).filter((sentence) => sentence !== "");

const squadSchema = z.object({
  data: z.array(
    z.object({
      title: z.string(),
      paragraphs: z.array(
        z.object({
          context: z.string(),
          qas: z.array(
            z.object({
              question: z.string(),
              answers: z.array(z.object({ text: z.string() })),
              is_impossible: z.boolean().default(false),
            }),
          ),
        }),
      ),
    }),
  ),
});

const hotpotSchema = z.array(
  z.object({
    question: z.string(),
    answer: z.string(),
    context: z.array(z.tuple([z.string(), z.array(z.string())])),
    supporting_facts: z.array(z.tuple([z.string(), z.number()])).default([]),
  }),
);

/** The answerable questions of a SQuAD file (version 1 or 2). @throws RookeryError FILE_UNREADABLE, BAD_DATA. */
export function squadQuestions(file: string): QuestionSource {
  const { data } = readQuestions(file, squadSchema, "SQuAD");
  const questions = data.flatMap(({ title, paragraphs }) =>
    paragraphs.flatMap(({ context, qas }) =>
      qas
        .filter(({ answers, is_impossible }) => !is_impossible && answers.length > 0)
        .map(({ question, answers }) => ({
          question,
          answers: [...new Set(answers.map(({ text }) => text))],
          gold: [{ title, sentences: sentencesOf(context) }],
        })),
    ),
  );
  const passages = data.flatMap(({ title, paragraphs }) =>
    paragraphs.map(({ context }) => ({ title, sentences: sentencesOf(context) })),
  );
  return sourceOf(file, questions, passages);
}

/** The questions of a HotpotQA file. @throws as `squadQuestions`. */
export function hotpotQuestions(file: string): QuestionSource {
  const rows = readQuestions(file, hotpotSchema, "HotpotQA");
  const passageOf = ([title, sentences]: [string, string[]]): Passage => ({ title, sentences });
  const questions = rows.map(({ question, answer, context, supporting_facts: facts }) => {
    const titles = new Set(facts.map(([title]) => title));
    const gold = context.filter(([title]) => titles.size === 0 || titles.has(title));
    return { question, answers: [answer], gold: gold.map(passageOf) };
  });
  const passages = new Map(rows.flatMap(({ context }) => context.map((one) => [one[0], passageOf(one)] as const)));
  return sourceOf(file, questions, [...passages.values()]);
}

const largestFileBytes = 512 * 2 ** 20;

function readQuestions<Schema extends z.ZodType>(file: string, schema: Schema, format: string): z.output<Schema> {
  const parsed = schema.safeParse(readJsonFile(file, largestFileBytes));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join(".") || "its beginning";
  throw new RookeryError("BAD_DATA", `${file} is no ${format} file: ${where}: ${issue?.message}`, "give another file");
}

function sourceOf(file: string, all: readonly Question[], passages: readonly Passage[]): QuestionSource {
  // what the paragraph does not say word for word cannot be scored
  const questions = all.filter(({ answers, gold }) => {
    const text = gold.map(({ sentences }) => sentences.join(" ")).join(" ");
    return gold.length > 0 && answers.some((answer) => answer !== "" && text.includes(answer));
  });
  if (questions.length === 0) {
    throw new RookeryError(
      "BAD_DATA",
      `${file} has no question whose answer stands in its paragraphs`,
      "give another file",
    );
  }
  return {
    question: (draws) => draws.pick(questions),
    distractors({ gold }, draws) {
      const own = new Set(gold.map(({ title, sentences }) => `${title}\n${sentences[0]}`));
      const others = draws.shuffle(passages.filter(({ title, sentences }) => !own.has(`${title}\n${sentences[0]}`)));
      if (others.length === 0) throw new RookeryError("BAD_DATA", `${file} has but one paragraph`, "give another file");
      return (index) => others[index % others.length]!;
    },
  };
}
