/** Dialogues whose later turns mean nothing without the earlier ones. */
import type { Draws } from "../../../tasks/random.ts";
import { numbersIn } from "../check.ts";
import type { ScrollMessage } from "../record.ts";
import { type Draft, evidenceAt } from "./draft.ts";
import { gapNumber, sentencesOf, spreadOver } from "./sentences.ts";
import type { ScrollSource } from "./source.ts";
import { wordings } from "./wordings.ts";

const subtask = "多轮对话";

/**
 * First where a sentence stands, then which number was taken out of it, then its sum with another one: two records, of the second
 * and of the third turn, with the right answers to the turns before.
 */
export function dialogues(source: ScrollSource, count: number, draws: Draws): Draft[] {
  const words = wordings[source.language];
  const headings = Map.groupBy(source.sections, ({ heading }) => heading);
  const gaps = sentencesOf(source).flatMap((sentence) => {
    const gap = gapNumber(sentence.text, source.language);
    const section = source.sections.find((one) => one.start <= sentence.start && sentence.end <= one.end);
    const { heading } = section ?? {};
    const isClear = heading && headings.get(heading)!.length === 1 && !sentence.text.includes(heading);
    return gap && isClear ? [{ sentence, ...gap, heading, value: numbersIn(gap.number)[0]! }] : [];
  });
  const many = Map.groupBy(gaps, ({ gapped }) => gapped);
  const clear = gaps.filter(({ gapped }) => many.get(gapped)!.length === 1);
  const chosen = spreadOver(clear, 2 * count, draws);
  return Array.from({ length: Math.floor(chosen.length / 2) }).flatMap((_, index): Draft[] => {
    const [first, other] = [chosen[2 * index]!, chosen[2 * index + 1]!];
    const sum = Number((first.value + other.value).toFixed(6));
    const turns: ScrollMessage[] = [
      { role: "user", content: words.whichSectionOfGap(first.gapped) },
      { role: "assistant", content: first.heading },
    ];
    const more: ScrollMessage[] = [
      ...turns,
      { role: "user", content: words.thatNumber },
      { role: "assistant", content: first.number },
    ];
    const common = { subtask, isSubjective: false, drafter: "template" };
    return [
      {
        ...{ ...common, task: "extraction", before: turns, question: words.thatNumber, answer: first.number },
        check: { type: "number", value: first.value },
        evidence: [evidenceAt(source, first.sentence)],
      },
      {
        ...{ ...common, task: "numerical", before: more, question: words.addTo(other.gapped) },
        answer: `${first.value} + ${other.value} = ${sum}`,
        check: { type: "number", value: sum },
        evidence: [first, other].map(({ sentence }) => evidenceAt(source, sentence)),
      },
    ];
  });
}
