/** Units, weekdays and dates. */
import { nearNumbers, otherThan, type TaskFamily } from "../task.ts";
import { months, weekdays } from "../vocabulary.ts";

type Unit = { en: [large: string, small: string]; zh: [large: string, small: string]; factor: number };

const unitPairs: readonly Unit[] = [
  { en: ["meters", "centimeters"], zh: ["米", "厘米"], factor: 100 },
  { en: ["kilometers", "meters"], zh: ["千米", "米"], factor: 1000 },
  { en: ["kilograms", "grams"], zh: ["千克", "克"], factor: 1000 },
  { en: ["hours", "minutes"], zh: ["小时", "分钟"], factor: 60 },
  { en: ["minutes", "seconds"], zh: ["分钟", "秒"], factor: 60 },
  { en: ["days", "hours"], zh: ["天", "小时"], factor: 24 },
  { en: ["weeks", "days"], zh: ["星期", "天"], factor: 7 },
  { en: ["years", "months"], zh: ["年", "个月"], factor: 12 },
];

const units: TaskFamily = {
  name: "units",
  isUnseen: false,
  languages: ["en", "zh"],
  make(draws, language) {
    const { factor, ...names } = draws.pick(unitPairs);
    const [large, small] = names[language];
    const amount = draws.between(2, 40);
    const isDown = draws.between(0, 1) === 0;
    const [given, from, to, result] = isDown
      ? [amount, large, small, amount * factor]
      : [amount * factor, small, large, amount];
    return {
      question: language === "en" ? `How many ${to} are ${given} ${from}?` : `${given}${from}等于多少${to}？`,
      answer: String(result),
      wrong: otherThan(String(result), [result * 10, result + 1, ...nearNumbers(result, draws)]),
    };
  },
};

const dayNumber = (day: number) => ((day % 7) + 7) % 7;

const weekdayTasks: TaskFamily = {
  name: "weekdays",
  isUnseen: false,
  languages: ["en", "zh"],
  make(draws, language) {
    const names = weekdays[language];
    const [today, by] = [draws.between(0, 6), draws.between(1, 20)];
    const isLater = draws.between(0, 1) === 0;
    const answer = names[dayNumber(isLater ? today + by : today - by)]!;
    const day = by === 1 ? "day" : "days";
    return {
      question:
        language === "en"
          ? `Today is ${names[today]}. Which day of the week ${isLater ? `will it be in ${by} ${day}` : `was it ${by} ${day} ago`}?`
          : `今天是${names[today]}。${by}天${isLater ? "后" : "前"}是星期几？`,
      answer,
      wrong: otherThan(answer, names),
    };
  },
};

const monthLengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** The day `by` days after one of a year that is no leap year: month from 0, day from 1. */
function daysAfter(month: number, day: number, by: number): { month: number; day: number } {
  let [at, left] = [month, day + by];
  while (left > monthLengths[at]!) {
    left -= monthLengths[at]!;
    at = (at + 1) % 12;
  }
  return { month: at, day: left };
}

const dates: TaskFamily = {
  name: "dates",
  isUnseen: false,
  languages: ["en", "zh"],
  make(draws, language) {
    const month = draws.between(0, 11);
    const [day, by] = [draws.between(1, monthLengths[month]!), draws.between(2, 20)];
    const show = (date: { month: number; day: number }) =>
      language === "en" ? `${months[date.month]} ${date.day}` : `${date.month + 1}月${date.day}日`;
    const answer = show(daysAfter(month, day, by));
    return {
      question:
        language === "en"
          ? `Which date is ${by} days after ${show({ month, day })}, in a year that is no leap year?`
          : `平年里，${show({ month, day })}之后${by}天是几月几日？`,
      answer,
      wrong: otherThan(
        answer,
        [by + 1, by - 1, by + 10].map((wrongBy) => show(daysAfter(month, day, wrongBy))),
      ),
    };
  },
};

export const conversionFamilies: readonly TaskFamily[] = [units, weekdayTasks, dates];
