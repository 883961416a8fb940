/** Questions about what stands in the question itself: facts, counts, tables, and a needle in a long text. */
import type { Draws } from "../random.ts";
import {
  askAbout,
  nearNumbers,
  otherThan,
  type Passage,
  type TaskFamily,
  type TaskLanguage,
  type TaskSettings,
} from "../task.ts";
import { cities, colors, fillers, people, things } from "../vocabulary.ts";

/** A family that makes a passage and asks one of the things that can be asked about it. */
function aboutPassages(
  name: string,
  passage: (draws: Draws, language: TaskLanguage, settings: TaskSettings) => Passage,
): TaskFamily {
  return {
    name,
    isUnseen: false,
    languages: ["en", "zh"],
    passage,
    make(draws, language, settings) {
      const made = passage(draws, language, settings);
      const { ask, answer, wrong } = draws.pick(made.asks);
      return { question: askAbout(made, ask), answer, wrong };
    },
  };
}

const extraction = aboutPassages("extraction", (draws, language) => {
  const who = draws.sample(people[language], 4);
  const where = draws.sample(cities[language], 4);
  const likes = draws.sample(colors[language], 4);
  const facts = who.map((name, i) =>
    language === "en"
      ? `${name} lives in ${where[i]} and likes ${likes[i]}.`
      : `${name}住在${where[i]}，喜欢${likes[i]}。`,
  );
  const asked = (ask: (name: string) => string, values: readonly string[]) =>
    who.map((name, i) => ({ ask: ask(name), answer: values[i]!, wrong: otherThan(values[i]!, values) }));
  return {
    text: facts.join(language === "en" ? " " : ""),
    asks: [
      ...asked((name) => (language === "en" ? `Where does ${name} live?` : `${name}住在哪里？`), where),
      ...asked((name) => (language === "en" ? `Which color does ${name} like?` : `${name}喜欢什么颜色？`), likes),
    ],
  };
});

const counting = aboutPassages("counting", (draws, language) => {
  const kinds = draws.sample(
    language === "en" ? ["cat", "dog", "hen", "cow", "fox"] : ["猫", "狗", "鸡", "牛", "羊"],
    3,
  );
  const shown = Array.from({ length: draws.between(5, 12) }, () => draws.pick(kinds));
  return {
    text: shown.join(" "),
    asks: kinds.map((wanted) => {
      const count = shown.filter((kind) => kind === wanted).length;
      return {
        ask: language === "en" ? `How many times does "${wanted}" stand here?` : `这里有几个“${wanted}”？`,
        answer: String(count),
        wrong: nearNumbers(count, draws).filter((text) => Number(text) >= 0 && Number(text) <= 12),
      };
    }),
  };
});

const tables = aboutPassages("tables", (draws, language) => {
  const rows = draws.sample(things[language], 4);
  const columns = language === "en" ? ["price", "stock", "weight"] : ["价格", "库存", "重量"];
  const cells = rows.map(() => columns.map(() => draws.between(1, 99)));
  const head = language === "en" ? "item" : "物品";
  const lines = [
    `| ${[head, ...columns].join(" | ")} |`,
    `| ${[head, ...columns].map(() => "---").join(" | ")} |`,
    ...rows.map((name, i) => `| ${[name, ...cells[i]!].join(" | ")} |`),
  ];
  const asks = rows.flatMap((name, row) =>
    columns.map((what, column) => {
      const answer = String(cells[row]![column]);
      const neighbours = [...cells[row]!, ...cells.map((line) => line[column]!)];
      return {
        ask: language === "en" ? `What is the ${what} of the ${name}?` : `${name}的${what}是多少？`,
        answer,
        wrong: otherThan(answer, [...neighbours, Number(answer) + 1]),
      };
    }),
  );
  return { text: lines.join("\n"), asks };
});

/** A code that no filler has. */
const code = (draws: Draws) => String(draws.between(1000, 9999));

/** Sentences of about `characters`, with `hidden` at even distances from a random beginning. */
function haystack(draws: Draws, language: TaskLanguage, characters: number, hidden: readonly string[]): string {
  const sentences: string[] = [];
  for (let length = 0; length < characters; length += sentences.at(-1)!.length)
    sentences.push(draws.pick(fillers[language]));
  for (const needle of hidden) sentences.splice(draws.between(0, sentences.length), 0, needle);
  return sentences.join(language === "en" ? " " : "");
}

const needles = aboutPassages("needles", (draws, language, { needleCharacters }) => {
  const names = draws.sample(people[language], 3);
  const codes = names.map(() => code(draws));
  const hidden = names.map((name, i) =>
    language === "en" ? `The code of ${name} is ${codes[i]}.` : `${name}的密码是${codes[i]}。`,
  );
  return {
    text: haystack(draws, language, needleCharacters, hidden),
    asks: names.map((name, i) => ({
      ask: language === "en" ? `What is the code of ${name}?` : `${name}的密码是多少？`,
      answer: codes[i]!,
      wrong: otherThan(codes[i]!, [...codes, Number(codes[i]) === 9999 ? 1000 : Number(codes[i]) + 1]),
    })),
  };
});

export const passageFamilies: readonly TaskFamily[] = [extraction, counting, tables, needles];
