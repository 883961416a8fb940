/** How the templates ask, in both languages. */

export const wordings = {
  en: {
    missingNumber: (gapped: string) =>
      `A number was taken out of this sentence of the document: "${gapped}" Which number stands there?`,
    missingTerm: (gapped: string) =>
      `A term was taken out of this sentence of the document: "${gapped}" Which term stands there?`,
    whichSection: (sentence: string) =>
      `In which section of the document does this sentence stand: "${sentence}" Give the section's heading.`,
    whichFirst: (a: string, b: string) =>
      `Which of these two statements comes first in the document? A: "${a}" B: "${b}" Answer with the letter.`,
    nextSection: (heading: string) =>
      `Which section of the document follows right after "${heading}"? Give its heading.`,
    why: (claim: string) => `Which reason does the document give for this: "${claim}"?`,
    contrast: (a: string, b: string) =>
      `Compare what the document says in the section "${a}" with what it says in the section "${b}": name the main points of each.`,
    sum: (a: string, b: string) =>
      `From each of these two sentences of the document a number was taken out: "${a}" and "${b}" What is the sum of the two numbers?`,
    lookUp: (table: string, row: string, column: string) =>
      `In the table${table}, what stands under "${column}" in the row "${row}"?`,
    largest: (table: string, column: string) =>
      `In the table${table}, which row has the largest value under "${column}"?`,
    second: (table: string, column: string) =>
      `In the table${table}, which row has the second largest value under "${column}"?`,
    difference: (table: string, column: string, a: string, b: string) =>
      `In the table${table}, by how much is the value under "${column}" larger for "${a}" than for "${b}"?`,
    total: (table: string, column: string) => `In the table${table}, what is the sum of all values under "${column}"?`,
    inSection: (heading: string) => ` of the section "${heading}"`,
    withColumns: (names: readonly string[]) => ` with the columns ${names.map((name) => `"${name}"`).join(", ")}`,
    whichSectionOfGap: (gapped: string) =>
      `In which section of the document does this sentence stand, from which a number was taken out: "${gapped}" Give the section's heading.`,
    thatNumber: "And which number was taken out of it?",
    addTo: (gapped: string) =>
      `Add to it the number that was taken out of this other sentence of the document: "${gapped}" What is the sum?`,
    answerFrom: "Answer the question from the document above. Give the answer alone, without explanations.",
    explainFrom: "Answer the question from the document above, in a few sentences.",
    question: "Question: ",
  },
  zh: {
    missingNumber: (gapped: string) => `文档中有这样一句话，其中的一个数字被去掉了：“${gapped}”被去掉的数字是多少？`,
    missingTerm: (gapped: string) => `文档中有这样一句话，其中的一个词语被去掉了：“${gapped}”被去掉的词语是什么？`,
    whichSection: (sentence: string) => `下面这句话出现在文档的哪一节：“${sentence}”请给出该节的标题。`,
    whichFirst: (a: string, b: string) => `下面两句话哪一句在文档中先出现？A：“${a}” B：“${b}” 请回答字母。`,
    nextSection: (heading: string) => `文档中紧接在“${heading}”之后的是哪一节？请给出标题。`,
    why: (claim: string) => `对于“${claim}”，文档给出的原因是什么？`,
    contrast: (a: string, b: string) => `请对比文档中“${a}”一节和“${b}”一节的内容，分别说明各自的要点。`,
    sum: (a: string, b: string) => `文档中下面两句话各有一个数字被去掉了：“${a}”和“${b}”这两个数字之和是多少？`,
    lookUp: (table: string, row: string, column: string) => `在${table}表格中，“${row}”一行的“${column}”是什么？`,
    largest: (table: string, column: string) => `在${table}表格中，哪一行的“${column}”最大？`,
    second: (table: string, column: string) => `在${table}表格中，哪一行的“${column}”第二大？`,
    difference: (table: string, column: string, a: string, b: string) =>
      `在${table}表格中，“${a}”的“${column}”比“${b}”大多少？`,
    total: (table: string, column: string) => `在${table}表格中，“${column}”一列所有数值之和是多少？`,
    inSection: (heading: string) => `“${heading}”一节的`,
    withColumns: (names: readonly string[]) => `列名为${names.map((name) => `“${name}”`).join("、")}的`,
    whichSectionOfGap: (gapped: string) =>
      `下面这句话的一个数字被去掉了，它出现在文档的哪一节：“${gapped}”请给出该节的标题。`,
    thatNumber: "其中被去掉的数字是多少？",
    addTo: (gapped: string) => `请把它和文档中另一句话里被去掉的数字相加：“${gapped}”两数之和是多少？`,
    answerFrom: "请根据上面的文档回答问题，只给出答案，不要解释。",
    explainFrom: "请根据上面的文档，用几句话回答问题。",
    question: "问题：",
  },
} as const;
