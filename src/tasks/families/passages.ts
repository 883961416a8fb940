/** Questions about what stands in the question itself: facts, counts, tables, and a needle in a long text. */
import type { Draws } from "../random.ts";
import { nearNumbers, otherThan, type TaskFamily, type TaskLanguage } from "../task.ts";
import { cities, colors, fillers, people, things } from "../vocabulary.ts";

const extraction: TaskFamily = {
  name: "extraction",
  isUnseen: false,
  languages: ["en", "zh"],
  make(draws, language) {
    const who = draws.sample(people[language], 4);
    const where = draws.sample(cities[language], 4);
    const likes = draws.sample(colors[language], 4);
    const about = draws.between(0, 3);
    const asksCity = draws.between(0, 1) === 0;
    const facts = who.map((name, i) =>
      language === "en"
        ? `${name} lives in ${where[i]} and likes ${likes[i]}.`
        : `${name}住在${where[i]}，喜欢${likes[i]}。`,
    );
    const en = asksCity ? `Where does ${who[about]} live?` : `Which color does ${who[about]} like?`;
    const zh = asksCity ? `${who[about]}住在哪里？` : `${who[about]}喜欢什么颜色？`;
    const values = asksCity ? where : likes;
    return {
      question: `${facts.join(language === "en" ? " " : "")}\n${language === "en" ? en : zh}`,
      answer: values[about]!,
      wrong: otherThan(values[about]!, values),
    };
  },
};

const counting: TaskFamily = {
  name: "counting",
  isUnseen: false,
  languages: ["en", "zh"],
  make(draws, language) {
    const kinds = draws.sample(
      language === "en" ? ["cat", "dog", "hen", "cow", "fox"] : ["猫", "狗", "鸡", "牛", "羊"],
      3,
    );
    const shown = Array.from({ length: draws.between(5, 12) }, () => draws.pick(kinds));
    const wanted = draws.pick(kinds);
    const count = shown.filter((kind) => kind === wanted).length;
    return {
      question:
        language === "en"
          ? `${shown.join(" ")}\nHow many times does "${wanted}" stand here?`
          : `${shown.join(" ")}\n这里有几个“${wanted}”？`,
      answer: String(count),
      wrong: nearNumbers(count, draws).filter((text) => Number(text) >= 0 && Number(text) <= 12),
    };
  },
};

const tables: TaskFamily = {
  name: "tables",
  isUnseen: false,
  languages: ["en", "zh"],
  make(draws, language) {
    const rows = draws.sample(things[language], 4);
    const columns = language === "en" ? ["price", "stock", "weight"] : ["价格", "库存", "重量"];
    const cells = rows.map(() => columns.map(() => draws.between(1, 99)));
    const [row, column] = [draws.between(0, 3), draws.between(0, 2)];
    const head = language === "en" ? "item" : "物品";
    const lines = [
      `| ${[head, ...columns].join(" | ")} |`,
      `| ${[head, ...columns].map(() => "---").join(" | ")} |`,
      ...rows.map((name, i) => `| ${[name, ...cells[i]!].join(" | ")} |`),
    ];
    const answer = String(cells[row]![column]);
    const neighbours = [...cells[row]!, ...cells.map((line) => line[column]!)];
    return {
      question: `${lines.join("\n")}\n${
        language === "en"
          ? `What is the ${columns[column]} of the ${rows[row]}?`
          : `${rows[row]}的${columns[column]}是多少？`
      }`,
      answer,
      wrong: otherThan(answer, [...neighbours, Number(answer) + 1]),
    };
  },
};

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

const needles: TaskFamily = {
  name: "needles",
  isUnseen: false,
  languages: ["en", "zh"],
  make(draws, language, { needleCharacters }) {
    const names = draws.sample(people[language], 3);
    const codes = names.map(() => code(draws));
    const hidden = names.map((name, i) =>
      language === "en" ? `The code of ${name} is ${codes[i]}.` : `${name}的密码是${codes[i]}。`,
    );
    const about = draws.between(0, 2);
    const answer = codes[about]!;
    return {
      question: `${haystack(draws, language, needleCharacters, hidden)}\n${
        language === "en" ? `What is the code of ${names[about]}?` : `${names[about]}的密码是多少？`
      }`,
      answer,
      wrong: otherThan(answer, [...codes, Number(answer) === 9999 ? 1000 : Number(answer) + 1]),
    };
  },
};

export const passageFamilies: readonly TaskFamily[] = [extraction, counting, tables, needles];
