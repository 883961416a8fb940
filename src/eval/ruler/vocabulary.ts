/** The words of long-context tasks. Pairs of them name as many things as the longest haystack needs. */
import type { Draws } from "../../tasks/random.ts";
import type { HaystackLanguage } from "./item.ts";

const adjectives: Record<HaystackLanguage, readonly string[]> = {
  en: (
    "able amber ancient autumn bitter blue bold brave brief bright broad calm careful cheap clean clever cold common cool " +
    "curious damp dark deep distant double dry dusty eager early easy empty equal fair famous fancy fast final fine firm " +
    "flat fond foreign fresh friendly frozen full gentle giant glad golden grand grave great green handy happy heavy " +
    "hidden hollow honest humble hungry icy idle kind large late lazy light little lively local lone long loud lucky mad " +
    "mellow mild misty modern modest narrow neat nervous noble noisy novel odd old open pale patient plain pleasant polite " +
    "proud pure quick quiet rapid rare ready rich rough round royal rural rusty sandy sharp shiny short shy silent simple " +
    "sleepy slow small smooth soft solid sour spare steady steep stiff still strange strict strong sudden sunny sweet swift " +
    "tall tame tender thick thin tidy timid tiny tired tough upper urban useful vast vivid warm weak wet white whole wide " +
    "wild wise wooden young zealous"
  ).split(" "),
  zh: (
    "安静 勇敢 明亮 古老 温暖 寒冷 聪明 快乐 忙碌 谦虚 诚实 善良 神秘 遥远 宽阔 狭窄 柔软 坚硬 新鲜 陈旧 轻松 沉重 干净 美丽 " +
    "巨大 细小 漫长 短暂 平静 热闹 孤独 友好 骄傲 谨慎 大胆 耐心 灵活 笨拙 清澈 浑浊 鲜艳 苍白 金色 银色 蓝色 绿色 紫色 橙色 " +
    "甜蜜 苦涩 简单 复杂 普通 特别 年轻 成熟 敏捷 缓慢 稳定 活泼 严肃 幽默 朴素 华丽 圆形 方形 透明 模糊 高大 矮小 富饶 贫瘠"
  ).split(" "),
};

const nouns: Record<HaystackLanguage, readonly string[]> = {
  en: (
    "acorn alley anchor apple arch arrow badge bakery barrel basin basket beach beacon bell bench berry bird blanket boat " +
    "bottle branch bread brick bridge broom brush bucket button cabin cable candle canoe canyon carpet castle cave cedar " +
    "chain chair chapel cherry chimney circle cliff clock cloud coat comet compass copper corner cottage cradle crane creek " +
    "crown curtain desert diamond dinner dolphin door dragon drawer drum eagle engine falcon farm feather fence ferry field " +
    "finger fireplace flag flute forest fossil fountain fox garden gate glacier glove goose granite grape guitar hammer " +
    "harbor harvest hat hedge helmet heron hill honey horse hotel island ivory jacket jar jungle kettle key kitchen kite " +
    "ladder lagoon lamp lantern leaf lemon letter library lion lizard magnet map maple market marsh meadow melon mill mirror " +
    "monkey moon mountain museum napkin needle nest oak oasis ocean olive onion orchard otter owl oyster palace paper parrot " +
    "path peach pearl pebble pencil penguin pepper piano pillow pine pocket pond potato prairie pumpkin puzzle quarry quilt " +
    "rabbit rail raven ribbon river robin rocket roof rope rose saddle sail salmon school shadow sheep shell ship shovel " +
    "silver sparrow spider spoon spring square stable stone storm stove street summer swan table tailor temple theater thread " +
    "thunder tiger tower train tree trumpet tunnel turtle umbrella valley vase velvet village violin wagon walnut water wave " +
    "whale wheat wheel willow window winter wolf wool yard"
  ).split(" "),
  zh: (
    "水獭 灯塔 石桥 苹果 铁锚 城堡 蜡烛 云朵 钟楼 花园 森林 沙漠 岛屿 海豚 老鹰 企鹅 老虎 兔子 狐狸 骆驼 蝴蝶 蜜蜂 鲸鱼 鹦鹉 " +
    "钢琴 吉他 长笛 铜鼓 雨伞 手套 帽子 毛毯 书架 椅子 镜子 窗户 大门 楼梯 烟囱 火车 轮船 风筝 火箭 马车 自行车 望远镜 指南针 地图 " +
    "橄榄 柠檬 葡萄 西瓜 南瓜 土豆 洋葱 蜂蜜 面包 茶壶 水桶 铁锤 剪刀 绳子 钥匙 铅笔 信封 邮票 图书馆 博物馆 学校 市场 码头 果园 " +
    "草原 沼泽 冰川 火山 瀑布 山谷 小溪 池塘 珊瑚 珍珠 贝壳 钻石 琥珀 丝绸 瓷器 竹林 松树 柳树 枫叶 玫瑰 月亮 彗星 彩虹 闪电"
  ).split(" "),
};

/** Every plain word, each once: adjectives and nouns. */
export const plainWords: Record<HaystackLanguage, readonly string[]> = {
  en: [...adjectives.en, ...nouns.en],
  zh: [...adjectives.zh, ...nouns.zh],
};

/** A prime that shares no factor with the number of names in any language: a walk with this stride meets each name once. */
const stride = 10_007;

/**
 * Names of things such as quiet-otter or 安静的水獭, no two alike however many are taken; neighbours have nothing in common. When
 * every pair has been given they begin again with a further adjective in front.
 */
export function distinctNames(draws: Draws, language: HaystackLanguage): () => string {
  const [first, second] = [adjectives[language], nouns[language]];
  const total = first.length * second.length;
  const start = draws.between(0, total - 1);
  let taken = 0;
  return () => {
    const round = Math.floor(taken / total);
    const rank = (start + (taken++ % total) * stride) % total;
    const adjective = first[Math.floor(rank / second.length)]!;
    const noun = second[rank % second.length]!;
    const more = round === 0 ? [] : [first[(round - 1) % first.length]!];
    return language === "en" ? [...more, adjective, noun].join("-") : `${[...more, adjective].join("又")}的${noun}`;
  };
}
