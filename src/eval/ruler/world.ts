/** A small world of people and towns, to ask about. */
import type { Draws } from "../../tasks/random.ts";
import type { HaystackLanguage, Passage, Question } from "./item.ts";

type Person = { name: string; trade: string; year: number; prize: string };
type Town = { name: string; river: string; product: string };
type Asked = { asked: string; answer: string };

type WorldWords = {
  firstNames: readonly string[];
  /** Pieces of family names, of towns and of rivers, each put together from two. */
  family: readonly [readonly string[], readonly string[]];
  town: readonly [readonly string[], readonly string[]];
  river: readonly [readonly string[], readonly string[]];
  trades: readonly string[];
  products: readonly string[];
  prizes: readonly string[];
  person(person: Person, town: Town, draws: Draws): string[];
  about(town: Town, draws: Draws): string[];
  questions(person: Person): Asked[];
  twoHopQuestions(person: Person, town: Town): Asked[];
};

const words = (text: string) => text.split(" ");

export const worldWords: Record<HaystackLanguage, WorldWords> = {
  en: {
    firstNames: words(
      "Ada Agnes Alma Anton Arvid Bela Berta Bruno Carl Celia Cora Dagmar Dora Edgar Edith Elsa Emil Erik Esther Fanny Frida " +
        "Georg Greta Gustav Hanna Hedda Helge Henrik Ida Ines Ivar Jakob Johan Judit Karin Karl Lena Linus Lotta Magda Marta " +
        "Matti Nora Oscar Otto Paula Petra Ragna Rolf Sigrid Stina Sven Thea Tilda Ulla Vera Viktor Wilma",
    ),
    family: [
      words(
        "Al Berg Bjork Dahl Ek Falk Fors Grön Hall Holm Kvist Lind Lund Malm Nord Öst Rosen Sand Sjö Sten Ström Sund Söder Vik",
      ),
      words("berg blad by dahl fält gren holt kvist lund mark man qvist rot ström stad vall"),
    ],
    town: [
      words(
        "Ash Birch Black Bright Clear Cold Crow Elder Fair Fern Glen Gold Grey Hazel High King Lark Long Moor North Oak Raven Red Stone Thorn West White Wolf",
      ),
      words(
        "bridge brook bury by cliff combe dale field ford gate ham haven hurst ley mere mouth port stead ton wick worth",
      ),
    ],
    river: [
      words("Ar Bel Cal Dor Em Fal Gar Hol Is Kel Lor Mar Nar Or Pel Ser Tor Ul Ven Yar"),
      words("an bo da en is la ma ne ra sa ta va"),
    ],
    trades: words(
      "clockmaker botanist printer surveyor shipbuilder glassblower violinist teacher baker architect engraver beekeeper",
    ),
    products: words("glass rope cheese paper pottery lace salt honey bells tiles wool cider knives soap"),
    prizes: words("Lantern Compass Anchor Heron Cedar Amber Comet Harvest Mercury Orchid").map(
      (name) => `${name} Medal`,
    ),
    person: ({ name, trade, year, prize }, town, draws) => [
      `${name} was a ${trade} who was born in ${year} in ${town.name}.`,
      `The family kept a house with ${draws.between(3, 30)} windows at the edge of the town.`,
      `After ${draws.between(4, 40)} years of work ${name} was given the ${prize}.`,
      `Letters to friends tell of ${draws.pick(["long walks", "a great love of music", "bad weather", "many debts", "a lame dog"])}.`,
    ],
    about: ({ name, river, product }, draws) => [
      `${name} is a town on the river ${river}.`,
      `About ${draws.between(2, 90)} thousand people live there.`,
      `It is known for its ${product}, which is sold as far as the coast.`,
      `The oldest house stands beside the ${draws.pick(["mill", "market", "church", "bridge", "harbor"])}.`,
    ],
    questions: ({ name, trade, year, prize }) => [
      { asked: `In which year was ${name} born?`, answer: String(year) },
      { asked: `Which medal was ${name} given?`, answer: prize },
      { asked: `What was the trade of ${name}?`, answer: trade },
    ],
    twoHopQuestions: ({ name }, { river, product }) => [
      { asked: `On which river lies the town where ${name} was born?`, answer: river },
      { asked: `For which product is the town known where ${name} was born?`, answer: product },
    ],
  },
  zh: {
    firstNames: words(
      "王 李 张 刘 陈 杨 赵 黄 周 吴 徐 孙 胡 朱 高 林 何 郭 马 罗 梁 宋 郑 谢 韩 唐 冯 于 董 萧 程 曹 袁 邓 许 傅 沈 曾 彭 吕",
    ),
    family: [
      words("文 志 建 国 明 永 春 秋 思 玉 雪 海 云 天 子 家 嘉 安 立 书 景 伯 仲 若 雨 清"),
      words("华 平 强 军 梅 兰 竹 芳 英 杰 辉 峰 山 河 林 涛 波 宁 静 雅 贤 德 远 达 生 才"),
    ],
    town: [
      words("青 白 黑 红 金 银 石 木 水 云 龙 凤 鹤 鹿 松 柳 桃 梅 竹 枫 沙 盐 铁 南 北 东 西 长 大 小"),
      words("山镇 桥镇 河镇 湖镇 坡镇 口镇 湾镇 林镇 田镇 关镇 沟镇 塘镇 原镇 岭镇 台镇"),
    ],
    river: [
      words("清 浑 玉 沧 澜 沐 淇 涟 汾 溪 渠 泉 漳 沱 涧 洛"),
      words("阳江 阴江 水河 川河 源江 西江 东江 南河 北河 安江 平河 宁江"),
    ],
    trades: words("钟表匠 植物学家 印刷工人 测量员 造船师 玻璃匠 小提琴手 教师 面包师 建筑师 雕刻家 养蜂人"),
    products: words("玻璃 麻绳 奶酪 纸张 陶器 花边 海盐 蜂蜜 铜铃 瓦片 羊毛 果酒 刀具 肥皂"),
    prizes: words("灯笼 罗盘 铁锚 苍鹭 雪松 琥珀 彗星 丰收 水星 兰花").map((name) => `${name}奖章`),
    person: ({ name, trade, year, prize }, town, draws) => [
      `${name}是一位${trade}，${year}年出生在${town.name}。`,
      `他家的房子在镇子边上，有${draws.between(3, 30)}扇窗。`,
      `工作了${draws.between(4, 40)}年之后，${name}获得了${prize}。`,
      `写给朋友的信里常常提到${draws.pick(["长长的散步", "对音乐的热爱", "糟糕的天气", "许多债务", "一只瘸腿的狗"])}。`,
    ],
    about: ({ name, river, product }, draws) => [
      `${name}坐落在${river}边上。`,
      `那里大约住着${draws.between(2, 90)}千人。`,
      `这个镇子以${product}闻名，一直卖到海边。`,
      `最老的房子在${draws.pick(["磨坊", "集市", "寺庙", "石桥", "码头"])}旁边。`,
    ],
    questions: ({ name, trade, year, prize }) => [
      { asked: `${name}是哪一年出生的？`, answer: String(year) },
      { asked: `${name}获得了什么奖章？`, answer: prize },
      { asked: `${name}的职业是什么？`, answer: trade },
    ],
    twoHopQuestions: ({ name }, { river, product }) => [
      { asked: `${name}出生的镇子坐落在哪条河边？`, answer: river },
      { asked: `${name}出生的镇子以什么产品闻名？`, answer: product },
    ],
  },
};

const compound = (draws: Draws, [first, second]: readonly [readonly string[], readonly string[]]) =>
  draws.pick(first) + draws.pick(second);

export function drawPerson(draws: Draws, language: HaystackLanguage): Person {
  const { firstNames, family, trades, prizes } = worldWords[language];
  const [first, last] = [draws.pick(firstNames), compound(draws, family)];
  return {
    name: language === "en" ? `${first} ${last}` : first + last,
    trade: draws.pick(trades),
    year: draws.between(1712, 1948),
    prize: draws.pick(prizes),
  };
}

export function drawTown(draws: Draws, language: HaystackLanguage): Town {
  const { town, river, products } = worldWords[language];
  return { name: compound(draws, town), river: compound(draws, river), product: draws.pick(products) };
}

export function personPassage(draws: Draws, language: HaystackLanguage, person: Person, town: Town): Passage {
  return { title: person.name, sentences: worldWords[language].person(person, town, draws) };
}

export function townPassage(draws: Draws, language: HaystackLanguage, town: Town): Passage {
  return { title: town.name, sentences: worldWords[language].about(town, draws) };
}

/** Whether a passage has the name of one that the question is about, so that it would contradict it. */
export function isAbout({ title }: Passage, { gold }: Question): boolean {
  return gold.some((passage) => passage.title.includes(title) || title.includes(passage.title));
}
