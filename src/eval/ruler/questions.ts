/** RULER's qa tasks: a question whose paragraphs lie among others. */
import type { Draft, DraftContext, HaystackLanguage, LongPrompt, Passage, QuestionSource, RulerTask } from "./item.ts";
import { hide } from "./needles.ts";

const words: Record<
  HaystackLanguage,
  { start: string; again: string; document: string; question: string; answer: string }
> = {
  en: {
    start: "Answer the question from the documents below. Give only the answer and nothing else.",
    again: "Answer the question from the documents above. Give only the answer and nothing else.",
    document: "Document",
    question: "Question: ",
    answer: " Answer:",
  },
  zh: {
    start: "请根据下面的文档回答问题，只给出答案，不要写别的。",
    again: "请根据上面的文档回答问题，只给出答案，不要写别的。",
    document: "文档",
    question: "问题：",
    answer: "答案：",
  },
};

/** A unit is a sentence: the last distractor may be a part of its paragraph, so that any length can be filled. */
function draftsOfQuestion(source: QuestionSource, { draws, language }: DraftContext): [Draft, Draft] {
  const asked = source.question(draws);
  const distractor = source.distractors(asked, draws);
  const places = asked.gold.map(() => draws.between(0, 9999) / 9999);
  const { start, again, document, question, answer } = words[language];
  const separator = language === "en" ? " " : "";
  const text = ({ title, sentences }: Passage) => `${title}\n${sentences.join(separator)}`;
  const draft = (gold: readonly Passage[], units: number): LongPrompt => {
    const around: string[] = [];
    for (let left = units, index = 0; left > 0; index++) {
      const passage = distractor(index);
      const sentences = passage.sentences.slice(0, left);
      left -= Math.max(1, sentences.length);
      around.push(text({ ...passage, sentences }));
    }
    const hidden = gold.map((passage, index) => ({ text: text(passage), depth: places[index]! }));
    const documents = hide(around, hidden).map((one, index) => `${document} ${index + 1}: ${one}`);
    return {
      input: `${start}\n\n${documents.join("\n\n")}\n\n${again}\n\n${question}${asked.question}`,
      answerPrefix: answer,
      answers: asked.answers,
      depth: Math.min(...places),
    };
  };
  // short of room, of the paragraphs that answer only their beginning and the sentences with the answer
  const needed = asked.gold.map((passage) => ({
    ...passage,
    sentences: passage.sentences.filter(
      (sentence, at) => at === 0 || asked.answers.some((one) => sentence.includes(one)),
    ),
  }));
  return [(units) => draft(asked.gold, units), (units) => draft(needed, units)];
}

export const questionTasks: readonly RulerTask[] = [
  {
    name: "qa_1",
    answerTokens: 32,
    metric: "any",
    drafts: (context) => draftsOfQuestion(context.questions.single, context),
  },
  {
    name: "qa_2",
    answerTokens: 32,
    metric: "any",
    drafts: (context) => draftsOfQuestion(context.questions.twoHop, context),
  },
];
