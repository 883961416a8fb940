/** Questions about sentences and sections, put together by rule: right by construction, if the document says what it says once. */
import type { Draws } from "../../../tasks/random.ts";
import { numbersIn } from "../check.ts";
import { type Draft, evidenceAt } from "./draft.ts";
import { gapNumber, gapTerm, type Sentence, sentencesOf, spreadOver } from "./sentences.ts";
import type { ScrollSection, ScrollSource } from "./source.ts";
import { wordings } from "./wordings.ts";

type Make = (source: ScrollSource, count: number, draws: Draws) => Draft[];

const template = { isSubjective: false, check: null, before: [], drafter: "template" } as const;

/** Sections with a heading that no other one has, and with something below it. */
function namedSections({ sections, text }: ScrollSource): (ScrollSection & { heading: string })[] {
  const count = Map.groupBy(sections, ({ heading }) => heading);
  return sections.filter(
    (one): one is ScrollSection & { heading: string } =>
      one.heading !== null &&
      one.heading.length >= 2 &&
      one.heading.length <= 100 &&
      count.get(one.heading)!.length === 1 &&
      text.slice(one.start, one.end).length > one.heading.length + 40,
  );
}

const sectionOf = (sections: readonly ScrollSection[], { start, end }: Sentence) =>
  sections.find((one) => one.start <= start && end <= one.end);

const numeric: Make = (source, count, draws) => {
  const { language } = source;
  const gaps = sentencesOf(source).flatMap((sentence) => {
    const gap = gapNumber(sentence.text, language);
    return gap ? [{ sentence, ...gap }] : [];
  });
  // with its number taken out a sentence may be another one's, too
  const many = Map.groupBy(gaps, ({ gapped }) => gapped);
  const clear = gaps.filter(({ gapped }) => many.get(gapped)!.length === 1);
  return spreadOver(clear, count, draws).map(({ sentence, number, gapped }) => ({
    ...{ ...template, task: "extraction", subtask: "数值信息抽取", before: [] },
    question: wordings[language].missingNumber(gapped),
    answer: number,
    check: { type: "number", value: numbersIn(number)[0]! },
    evidence: [evidenceAt(source, sentence)],
  }));
};

const terms: Make = (source, count, draws) => {
  const gaps = sentencesOf(source).flatMap((sentence) => {
    const gap = gapTerm(sentence.text);
    return gap ? [{ sentence, ...gap }] : [];
  });
  const many = Map.groupBy(gaps, ({ gapped }) => gapped);
  const clear = gaps.filter(({ gapped }) => many.get(gapped)!.length === 1);
  return spreadOver(clear, count, draws).map(({ sentence, term, gapped }) => ({
    ...{ ...template, task: "extraction", subtask: "实体信息抽取", before: [] },
    question: wordings[source.language].missingTerm(gapped),
    answer: term,
    check: { type: "text", accepted: [term] },
    evidence: [evidenceAt(source, sentence)],
  }));
};

/** A heading without its number: a sentence that has it tells where it stands. */
const nameIn = (heading: string) => heading.replace(/^[\d.\s]+|^第\s*\S+\s*[章节]\s*/u, "") || heading;

const places: Make = (source, count, draws) => {
  const { language, sections } = source;
  const named = namedSections(source);
  if (named.length < 3) return pages(source, count, draws);
  const known = new Set<ScrollSection>(named);
  const within = sentencesOf(source).flatMap((sentence) => {
    const section = sectionOf(sections, sentence);
    const isTold = section?.heading && sentence.text.includes(nameIn(section.heading));
    return section && known.has(section) && !isTold ? [{ sentence, heading: section.heading! }] : [];
  });
  return spreadOver(within, count, draws).map(({ sentence, heading }) => ({
    ...{ ...template, task: "localization", subtask: "位置类", before: [] },
    question: wordings[language].whichSection(sentence.text),
    answer: heading,
    check: { type: "text", accepted: [heading] },
    evidence: [evidenceAt(source, sentence)],
  }));
};

/** Where there are no headings, but pages. */
const pages: Make = (source, count, draws) => {
  const paged = source.sections.filter(({ page }) => page !== null);
  if (paged.length < 3) return [];
  const within = sentencesOf(source).flatMap((sentence) => {
    const section = sectionOf(paged, sentence);
    return section ? [{ sentence, before: paged.indexOf(section) }] : [];
  });
  // page numbers are not in the text: what can be told is which of two statements comes first
  const chosen = spreadOver(within, 2 * count, draws);
  return chosen.slice(0, -1).flatMap((first, index) => {
    const second = chosen[index + 1]!;
    if (index % 2 === 1 || first.before === second.before) return [];
    const isTurned = draws.between(0, 1) === 1;
    const [a, b] = isTurned ? [second, first] : [first, second];
    return [
      {
        ...{ ...template, task: "localization", subtask: "位置类", before: [] },
        question: wordings[source.language].whichFirst(a.sentence.text, b.sentence.text),
        answer: isTurned ? "B" : "A",
        check: { type: "choice", letter: isTurned ? "B" : "A" },
        evidence: [first, second].map(({ sentence }) => evidenceAt(source, sentence)),
      } satisfies Draft,
    ];
  });
};

const following: Make = (source, count, draws) => {
  const named = new Set<ScrollSection>(namedSections(source));
  const neighbours = source.sections.flatMap((section, index) => {
    const next = source.sections[index + 1];
    return next && named.has(section) && named.has(next) ? [{ section, next }] : [];
  });
  return spreadOver(neighbours, count, draws).map(({ section, next }) => ({
    ...{ ...template, task: "localization", subtask: "引用类", before: [] },
    question: wordings[source.language].nextSection(section.heading!),
    answer: next.heading!,
    check: { type: "text", accepted: [next.heading!] },
    evidence: [evidenceAt(source, { start: next.start, end: next.start + next.heading!.length })],
  }));
};

/** The reason that a sentence gives, and what it is given for. */
function reasonIn(sentence: string, language: "en" | "zh"): { claim: string; reason: string } | null {
  const patterns =
    language === "zh"
      ? [
          /^(?:由于|因为)(?<reason>[^，。]{6,})，(?:所以|因此)?(?<claim>[^。]{8,})。$/,
          /^(?<claim>[^，。]{8,})，因为(?<reason>[^。]{6,})。$/,
        ]
      : [
          /^(?<claim>[A-Z][^,;]{25,}?),? because (?!of )(?<reason>[^;]{15,}?)\.$/,
          /^(?:Because|Since) (?!of )(?<reason>[^,;]{15,}), (?<claim>[^;]{25,})\.$/,
        ];
  const groups = patterns.map((pattern) => pattern.exec(sentence)?.groups).find((found) => found !== undefined);
  return groups ? { claim: groups.claim!.trim(), reason: groups.reason!.trim() } : null;
}

const causes: Make = (source, count, draws) => {
  const reasons = sentencesOf(source).flatMap((sentence) => {
    const found = reasonIn(sentence.text, source.language);
    return found ? [{ sentence, ...found }] : [];
  });
  return spreadOver(reasons, count, draws).map(({ sentence, claim, reason }) => ({
    ...{ ...template, task: "qualitative", subtask: "因果分析", before: [] },
    ...{ isSubjective: true, question: wordings[source.language].why(claim), answer: reason },
    evidence: [evidenceAt(source, sentence)],
  }));
};

/** What two sections say, laid side by side; their first sentences are the key points of the reference. */
const contrasts: Make = (source, count, draws) => {
  const sentences = sentencesOf(source);
  const rich = namedSections(source).flatMap((section) => {
    const within = sentences.filter((one) => section.start <= one.start && one.end <= section.end).slice(0, 2);
    return within.length === 2 ? [{ section, within }] : [];
  });
  const chosen = spreadOver(rich, 2 * count, draws);
  return Array.from({ length: Math.floor(chosen.length / 2) }, (_, index): Draft => {
    const [a, b] = [chosen[2 * index]!, chosen[2 * index + 1]!];
    const points = ({ section, within }: typeof a) => `${section.heading}: ${within.map(({ text }) => text).join(" ")}`;
    return {
      ...{ ...template, task: "qualitative", subtask: "对比分析", before: [] },
      question: wordings[source.language].contrast(a.section.heading, b.section.heading),
      answer: `${points(a)}\n${points(b)}`,
      isSubjective: true,
      evidence: [...a.within, ...b.within].map((one) => evidenceAt(source, one)),
    };
  });
};

/** The sum of two numbers that stand far apart. */
const sums: Make = (source, count, draws) => {
  const single = numeric(source, 2 * count, draws);
  return Array.from({ length: Math.floor(single.length / 2) }, (_, index): Draft => {
    // one from the first half of the document, the other from the second
    const [a, b] = [single[index]!, single[index + Math.floor(single.length / 2)]!];
    const values = [a, b].map(({ answer }) => numbersIn(answer)[0]!);
    const sum = Number((values[0]! + values[1]!).toFixed(6));
    const gaps = [a, b].map(({ evidence }) => gapNumber(evidence[0]!.text, source.language)!.gapped);
    return {
      ...{ ...template, task: "numerical", subtask: "数值计算", before: [] },
      question: wordings[source.language].sum(gaps[0]!, gaps[1]!),
      answer: `${values[0]} + ${values[1]} = ${sum}`,
      check: { type: "number", value: sum },
      evidence: [...a.evidence, ...b.evidence],
    };
  });
};

export const textTemplates: readonly Make[] = [numeric, terms, places, following, causes, contrasts, sums];
