import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import type { SourceDocument } from "../../../data/documents/document.ts";
import { EndpointClient } from "../../../endpoint/client.ts";
import { Endpoint } from "../../../endpoint/endpoint.ts";
import { checkAnswer } from "../check.ts";
import { readScrollRecord } from "../record.ts";
import { type BuildSettings, type BuiltItem, buildFrom } from "./build.ts";
import { gapNumber, gapTerm, sentencesOf } from "./sentences.ts";
import { readSources, resolveSources, type ScrollSource, sourceOf } from "./source.ts";

const topics = {
  en: ["Harbor", "Market", "Bridge", "School", "Library", "Garden"],
  zh: ["港口", "市场", "石桥", "学校", "图书馆", "花园"],
};

function manual(language: "en" | "zh"): SourceDocument {
  const sections = topics[language].map((topic, i) => ({
    page: null,
    heading: language === "en" ? `${i + 1}. The ${topic}` : `${i + 1}. ${topic}介绍`,
    text:
      language === "en"
        ? [
            `The old ${topic.toLowerCase()} of the town was built by ${i + 12} workers in a single summer.`,
            `Visitors to the ${topic.toLowerCase()} call it the "many winds ${i}" and come to see it every year.`,
            `The council closed the ${topic.toLowerCase()} for repairs last year because the roof let in far too much water.`,
          ].join(" ")
        : [
            `镇上古老的${topic}是由${i + 12}名工人在一个夏天里建成的。`,
            `来访的客人把${topic}叫作“多风之地${i}”，每年都来参观。`,
            `由于${topic}的屋顶漏水严重，所以议会去年决定关闭它进行维修。`,
          ].join(""),
  }));
  const head = language === "en" ? ["place", "visitors", "keeper"] : ["地点", "游客", "管理员"];
  const rows = topics[language].map((topic, i) => [topic, String(1000 - 37 * i), `${topic.slice(0, 2)}X${i}`]);
  const lines = [head, ...rows].map((row) => row.join(" | ")).join("\n");
  sections.push({ page: null, heading: language === "en" ? "7. Figures" : "7. 数据", text: lines });
  return {
    ...{ path: `${language}.html`, kind: "html", title: "Town", language, sections, flags: [] },
    tables: [{ page: null, heading: sections.at(-1)!.heading, rows: [head, ...rows] }],
  };
}

const settings: BuildSettings = {
  ...{ perTask: 4, dialogues: 1, seed: 1, samples: 3, passages: 2, perPassage: 5 },
  checks: ["evidence", "question", "closedBook", "consistency"],
};
const countTokens = async (text: string) => text.length;

describe("questions by templates", () => {
  for (const language of ["en", "zh"] as const) {
    it(`in ${language}: every task, evidence word for word, answers that pass their own check`, async () => {
      const source = sourceOf(manual(language), 100_000);
      const { items } = await buildFrom(source, settings, {}, countTokens, {});
      const left = items.filter(({ rejected }) => rejected === null);
      const kinds = new Set(left.map(({ record }) => `${record.dataset} ${record.split}`));
      for (const kind of [
        ...[
          "事实抽取 数值信息抽取",
          "事实抽取 实体信息抽取",
          "事实抽取 多轮对话",
          "信息定位 位置类",
          "信息定位 引用类",
        ],
        ...[
          "推理分析 因果分析",
          "推理分析 对比分析",
          "推理计算 数值计算",
          "推理计算 多轮对话",
          "表格计算 查询类",
          "表格计算 比较类",
        ],
      ]) {
        assert.ok(kinds.has(kind), `${kind} is missing of ${[...kinds].join(", ")}`);
      }
      for (const { record, draft } of left) {
        for (const { start, end, text } of record.evidence) assert.equal(source.text.slice(start, end), text);
        const read = readScrollRecord(JSON.parse(JSON.stringify(record)));
        assert.ok(!("fault" in read), JSON.stringify(read));
        const document = typeof read.input === "string" ? read.input : read.input[0]!.content;
        assert.equal(document.slice(read.document!.start, read.document!.end), source.text);
        assert.equal(read.isSubjective, draft.check === null);
        if (draft.check) assert.equal(checkAnswer(draft.check, draft.answer), 1, `${draft.question}: ${draft.answer}`);
        if (draft.check) assert.equal(checkAnswer(draft.check, ""), 0);
      }
      assert.deepEqual((await buildFrom(source, settings, {}, countTokens, {})).items, items);
    });
  }

  it("take only numbers that count something, and terms that are told by their place", () => {
    assert.equal(
      gapNumber("The lock waits 30 seconds before it opens.", "en")?.gapped,
      "The lock waits ____ seconds before it opens.",
    );
    assert.equal(gapNumber("每隔 5 分钟检查一次。", "zh")?.number, "5");
    for (const not of [
      ...[
        "Run apt(8) to install packages.",
        "See Section 4 about it.",
        "Use version 2 or later.",
        "In 2019-2020 it grew.",
      ],
      ...["Between 3 chairs and 4 tables.", "The file is 007 bytes.", "Read debconf 7 man page."],
    ]) {
      assert.equal(gapNumber(not, "en"), null, not);
    }
    assert.equal(gapNumber("请参见第 5 节。", "zh"), null);
    assert.equal(gapTerm("The DFSG defines “free software” so.")?.term, "free software");
    assert.equal(gapTerm("“Free” means free: “Free” again."), null);
  });

  it("leave sentences out that a page's line cut off, and those that stand there twice", () => {
    const text =
      "the end of something that began before\nMaintainer uploads of this kind are not allowed in the archive.\n\nThis sentence stands in the document twice, word for word. This sentence stands in the document twice, word for word.\n\nThis one is whole and stands in the document only once.";
    assert.deepEqual(
      sentencesOf({ text, language: "en" }).map((one) => one.text),
      ["This one is whole and stands in the document only once."],
    );
  });
});

it("documents are laid out as one text, without pages that cannot be read, and cut at a section's border", () => {
  const page = (number: number) => ({ page: number, heading: null, text: `Page ${number} says this much.` });
  const document = {
    ...manual("en"),
    sections: [1, 2, 3, 4].map(page),
    flags: [{ kind: "garbledPage", page: 2 } as const],
    tables: [],
  };
  const source = sourceOf(document, 50);
  assert.equal(source.text, "Page 1 says this much.\n\nPage 3 says this much.");
  assert.deepEqual([source.isCut, source.flaggedPages, source.sections.map(({ page: one }) => one)], [true, 1, [1, 3]]);
  for (const { start, end, page: one } of source.sections)
    assert.equal(source.text.slice(start, end), `Page ${one} says this much.`);
});

it("a table file is a document of one table", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "rookery-scroll-build-"));
  fs.writeFileSync(
    path.join(folder, "filing.csv"),
    'Segment,Revenue,Staff\nCloud,"12,450",18\nDevices,"8,912",9\nAds,"6,105",4\n',
  );
  fs.writeFileSync(path.join(folder, "broken.pdf"), "no pdf");
  const warnings: string[] = [];
  const sources: ScrollSource[] = [];
  const onEvent = (event: { type: string; message?: string }) =>
    event.type === "warning" && warnings.push(event.message!);
  for await (const source of readSources(await resolveSources([folder]), 10_000, { onEvent })) sources.push(source);
  assert.match(warnings.join(), /broken\.pdf .*left out/);
  const { items } = await buildFrom(sources[0]!, settings, {}, countTokens, {});
  const sum = items.find(({ draft }) => draft.question.includes("sum of all") && draft.question.includes("Revenue"));
  const answers = items.map(({ draft }) => draft.answer);
  assert.ok(sum === undefined || sum.draft.answer === "27467");
  assert.ok(answers.includes("Cloud"), answers.join());
  await assert.rejects(resolveSources([path.join(folder, "*.docx")]), { code: "FILE_UNREADABLE" });
  fs.rmSync(folder, { recursive: true });
});

/** Drafts of every kind, good and bad, and an examiner that knows some things without the document. */
function scripted(source: ScrollSource) {
  const [good, known, shaky] = sentencesOf(source).map(({ text }) => text) as [string, string, string];
  const item = (question: string, answer: string, evidence: string[]) => ({
    task: "extraction",
    question,
    answer,
    evidence,
  });
  const workers = /(\d+) workers/.exec(good)![1]!;
  const drafts = [
    item("How many workers built the harbor?", workers, [good]),
    item("How many workers built the harbor?", workers, [good]),
    item("What is the capital of France, by the document?", "many winds 0", [known]),
    item("What made the council close the place?", "rain", ["This was never written."]),
    item("Who came from the moon to see it?", "nobody", [good]),
    item(`Is the answer ${workers} or not?`, workers, [good]),
    item("Why is this shaky?", "far too much water", [shaky]),
  ];
  const endpoint = new Endpoint({
    url: "http://model",
    fetch: async (_url, init) => {
      const { messages, seed } = JSON.parse(String(init.body)) as { messages: { content: string }[]; seed: number };
      const asked = messages.at(-1)!.content;
      const hasDocument = asked.includes("\n\nAnswer the question") || asked.includes("\n\n");
      const reply = messages[0]!.content.includes("examination")
        ? JSON.stringify({ items: drafts })
        : asked.includes("capital of France")
          ? "many winds 0"
          : !hasDocument
            ? "I do not know."
            : asked.includes("shaky")
              ? ["far too much water", "no idea", "no idea"][seed]!
              : `It was ${workers}.`;
      return Response.json({ choices: [{ message: { content: reply }, finish_reason: "stop" }] });
    },
  });
  const client = new EndpointClient(endpoint, { retries: 0 });
  return { client, model: "m" };
}

it("what a model drafts has to pass every check, and is rejected by the one that finds its fault", async () => {
  const whole = manual("en");
  const source = sourceOf({ ...whole, sections: whole.sections.slice(0, 2), tables: [] }, 100_000);
  const model = scripted(source);
  const one = { ...settings, perTask: 0, dialogues: 0, passages: 1 };
  const { items, failedPassages } = await buildFrom(source, one, { writer: model, examiner: model }, countTokens, {});
  assert.equal(failedPassages, 0);
  const outcome = ({ rejected }: BuiltItem) => rejected?.check ?? "left";
  assert.deepEqual(items.map(outcome), [
    "left",
    "question",
    "closedBook",
    "evidence",
    "evidence",
    "question",
    "consistency",
  ]);
  assert.equal(items[0]!.doubt, null);
  assert.equal(items[0]!.record.drafter, "m");
});
