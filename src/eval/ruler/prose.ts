/** Haystacks of sentences: five that repeat, sentences made by a grammar, or somebody's own text. */
import { RookeryError } from "../../base/errors.ts";
import { Draws } from "../../tasks/random.ts";
import { cities, people } from "../../tasks/vocabulary.ts";
import type { HaystackLanguage, Prose } from "./item.ts";

const noise: Record<HaystackLanguage, readonly string[]> = {
  en: ["The hill is green.", "The lake is still.", "The moon is bright.", "On we walk.", "Back and forth we go."],
  zh: ["山是绿的。", "湖水很静。", "月亮很亮。", "我们往前走。", "走过去又走回来。"],
};

const separators: Record<HaystackLanguage, string> = { en: " ", zh: "" };

/** The same few sentences again and again: what is hidden in them is easily seen. */
export function noiseProse(language: HaystackLanguage): Prose {
  const sentences = noise[language];
  return { sentence: (index) => sentences[index % sentences.length]!, separator: separators[language] };
}

type Slots = { who: string; other: string; city: string; thing: string; number: number };

const things: Record<HaystackLanguage, readonly string[]> = {
  en: (
    "a wooden chair;an old radio;a bag of flour;a box of letters;a blue bicycle;a broken clock;two tickets;a silver spoon;" +
    "a pot of soup;a pair of boots;a small garden;a map of the coast;a stack of newspapers;a jar of plums;a fishing net"
  ).split(";"),
  zh: "一把木椅;一台旧收音机;一袋面粉;一盒旧信;一辆蓝色自行车;一只坏了的钟;两张车票;一把银勺;一锅汤;一双靴子;一块小菜地;一张海岸地图;一摞报纸;一罐李子;一张渔网".split(
    ";",
  ),
};

const forms: Record<HaystackLanguage, readonly ((slots: Slots) => string)[]> = {
  en: [
    ({ who, city }) => `When ${who} came back from ${city}, the shop at the corner had a new owner.`,
    ({ who, other, thing }) => `${who} asked ${other} to lend him ${thing}, and got it the same evening.`,
    ({ city, number }) => `It rained in ${city} for ${number} days, and the river rose to the steps of the market.`,
    ({ who, thing, number }) => `${who} had paid ${number} crowns for ${thing} and thought it cheap.`,
    ({ who, other }) => `Nobody was surprised that ${who} and ${other} disagreed about the road to the mill.`,
    ({ thing, city }) => `In a cellar in ${city} stood ${thing} that nobody claimed.`,
    ({ who, city }) => `${who} wrote every week to an aunt in ${city} who never answered.`,
    ({ other, number }) =>
      `The library closed at six, but ${other} stayed until the lamp had burned for ${number} minutes more.`,
    ({ who, thing }) => `What ${who} wanted most was ${thing}, and some quiet.`,
    ({ city, who }) =>
      `The train to ${city} was late again, so ${who} walked along the platform and counted the lamps.`,
    ({ who, other, city }) => `${who} met ${other} at the station of ${city} without having planned to.`,
    ({ number, thing }) => `After ${number} years the old house held little more than ${thing}.`,
    ({ other }) => `The wind turned in the night, and ${other} heard the shutters beat against the wall.`,
    ({ who, number }) => `By noon ${who} had carried ${number} stones to the wall, and the dog slept beside them.`,
  ],
  zh: [
    ({ who, city }) => `${who}从${city}回来的时候，街角的小店已经换了主人。`,
    ({ who, other, thing }) => `${who}向${other}借${thing}，当天晚上就拿到了。`,
    ({ city, number }) => `${city}连着下了${number}天雨，河水涨到了集市的台阶。`,
    ({ who, thing, number }) => `${who}花${number}块钱买了${thing}，觉得很便宜。`,
    ({ who, other }) => `${who}和${other}为去磨坊的路争了起来，谁也不觉得奇怪。`,
    ({ thing, city }) => `${city}的一个地窖里放着${thing}，一直没有人来取。`,
    ({ who, city }) => `${who}每个星期都给${city}的姑妈写信，却从来没有收到回信。`,
    ({ other, number }) => `图书馆六点关门，${other}却又在灯下多坐了${number}分钟。`,
    ({ who, thing }) => `${who}最想要的是${thing}，还有一点安静。`,
    ({ city, who }) => `去${city}的火车又晚点了，${who}沿着站台走，数着路灯。`,
    ({ who, other, city }) => `${who}在${city}车站碰见了${other}，谁也没有料到。`,
    ({ number, thing }) => `过了${number}年，老屋里只剩下${thing}。`,
    ({ other }) => `夜里风向变了，${other}听见窗板拍打着墙壁。`,
    ({ who, number }) => `到中午，${who}已经往墙边搬了${number}块石头，狗在旁边睡着。`,
  ],
};

/** Plain sentences that nobody has written down before; another seed gives other ones. */
export function generatedProse(language: HaystackLanguage, seed: number): Prose {
  const make = (index: number) => {
    const draws = new Draws(seed, "prose", language, index);
    const [who, other] = draws.sample(people[language], 2);
    const slots = {
      who: who!,
      other: other!,
      city: draws.pick(cities[language]),
      thing: draws.pick(things[language]),
      number: draws.between(2, 99),
    };
    return draws.pick(forms[language])(slots);
  };
  const made: string[] = []; // prompts of every size are made of the same sentences
  const sentence = (index: number) => {
    made[index] ??= make(index);
    return made[index];
  };
  return { separator: separators[language], sentence };
}

/** Longer pieces between full stops are cut, so that no unit of a haystack is much larger than another. */
const longestSentence = 160;

/**
 * A text of one's own, sentence by sentence, from the start again when it ends.
 * @param name of the file, for the message. @throws RookeryError BAD_DATA for a text with less than a few sentences.
 */
export function textProse(text: string, name: string): Prose {
  const sentences = text
    .toWellFormed()
    .split(/(?<=[.!?]["'”’)]*)\s+|(?<=[。！？]["'”’）]*)\s*|\s*\n\s*/u)
    .flatMap((sentence) => piecesOf(sentence.replace(/\s+/g, " ").trim()));
  if (sentences.length < 5) {
    throw new RookeryError("BAD_DATA", `${name} has ${sentences.length} sentences`, "give a longer text");
  }
  const isSpaced = /[a-z]\s+[a-z]/i.test(text.slice(0, 100_000));
  return { sentence: (index) => sentences[index % sentences.length]!, separator: isSpaced ? " " : "" };
}

function piecesOf(sentence: string): string[] {
  if (sentence.length <= longestSentence) return sentence === "" ? [] : [sentence];
  const pieces: string[] = [];
  let rest = sentence;
  while (rest.length > longestSentence) {
    const space = rest.lastIndexOf(" ", longestSentence);
    let end = space > longestSentence / 2 ? space : longestSentence;
    if (!rest.slice(0, end).isWellFormed()) end--; // not through the middle of a character
    pieces.push(rest.slice(0, end).trim());
    rest = rest.slice(end).trim();
  }
  return [...pieces, rest].filter((piece) => piece !== "");
}
