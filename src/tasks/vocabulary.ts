/** The words that tasks are made of. */
import type { TaskLanguage } from "./task.ts";

export const people: Record<TaskLanguage, readonly string[]> = {
  en: "Ana Ben Clara David Emma Felix Grace Hugo Iris Jonas Kate Leo Mina Noah Olga Paul Rosa Simon Tara Victor".split(
    " ",
  ),
  zh: "小明 小红 小刚 小丽 小华 小强 小美 小军 小芳 小龙 小玲 小平".split(" "),
};

export const cities: Record<TaskLanguage, readonly string[]> = {
  en: "Oslo Lima Cairo Delhi Paris Tokyo Rome Quito Kyiv Berlin Madrid Lisbon Dublin Vienna Athens Prague".split(" "),
  zh: "北京 上海 广州 深圳 成都 杭州 南京 武汉 西安 重庆 天津 苏州".split(" "),
};

export const things: Record<TaskLanguage, readonly string[]> = {
  en: "apples books coins pens stones shells cups cards keys lamps plates boxes".split(" "),
  zh: "苹果 书 硬币 钢笔 石头 贝壳 杯子 卡片 钥匙 盘子 盒子 铅笔".split(" "),
};

export const colors: Record<TaskLanguage, readonly string[]> = {
  en: "red blue green white black yellow brown grey pink orange".split(" "),
  zh: "红色 蓝色 绿色 白色 黑色 黄色 棕色 灰色 粉色 橙色".split(" "),
};

/** Plain English words, for sorting and for work on letters. */
export const plainWords: readonly string[] = (
  "anchor apple basket bird bottle bridge butter candle castle cloud copper corner cotton desert dinner dragon eagle " +
  "engine father finger flower forest garden glass hammer harbor honey island jacket kettle kitchen ladder lemon letter " +
  "lion market meadow mirror monkey morning needle nest ocean onion orange paper pencil penguin pillow pocket potato " +
  "rabbit ribbon river rocket saddle sailor shadow silver spider spring summer table temple thunder tiger tunnel valley " +
  "velvet violin water whale window winter wolf yellow"
).split(" ");

export const weekdays: Record<TaskLanguage, readonly string[]> = {
  en: "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(" "),
  zh: "星期一 星期二 星期三 星期四 星期五 星期六 星期日".split(" "),
};

export const months: readonly string[] =
  "January February March April May June July August September October November December".split(" ");

/** Sentences between which a needle is hidden. */
export const fillers: Record<TaskLanguage, readonly string[]> = {
  en: [
    "The harbor was quiet that morning and the boats lay still.",
    "A cold wind came down from the hills after noon.",
    "Nobody in the village could say how old the bridge was.",
    "The baker opened his door before the sun was up.",
    "Two gulls sat on the wall and looked at the sea.",
    "In autumn the road to the mill is full of leaves.",
    "The clock in the tower has been slow for years.",
    "Children ran along the river and threw stones into it.",
    "Rain fell on the roofs until late in the evening.",
    "An old map of the coast hung beside the window.",
  ],
  zh: [
    "那天早晨港口很安静，船都停着不动。",
    "午后一阵冷风从山上吹来。",
    "村里没有人知道那座桥有多老。",
    "面包师在太阳升起之前就开了门。",
    "两只海鸥站在墙上望着大海。",
    "秋天通往磨坊的路上落满了树叶。",
    "塔上的钟已经慢了好几年。",
    "孩子们沿着河边奔跑，往水里扔石头。",
  ],
};
