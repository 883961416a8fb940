/** Questions about tables: a cell, the largest row, a difference, a sum. */
import type { Draws } from "../../../tasks/random.ts";
import { numbersIn } from "../check.ts";
import { type Draft, evidenceAt, onlyPlaceOf } from "./draft.ts";
import { spreadOver } from "./sentences.ts";
import type { ScrollSource, ScrollTable } from "./source.ts";
import { wordings } from "./wordings.ts";

/** A row that can be named: its first cell, which no other row of the table has, and which the text has once as a row. */
type NamedRow = { name: string; cells: string[]; start: number; end: number };
type Grid = { table: ScrollTable; where: string; rows: NamedRow[]; columns: number[] };

const template = { isSubjective: false, check: null, before: [], drafter: "template" } as const;
/** As the text has a row. */
const lineOf = (cells: readonly string[]) => cells.join(" | ");

/** Tables that can be asked about: three rows at least that can be told apart, columns with names, and a place that can be named. */
function gridsOf(source: ScrollSource): Grid[] {
  const perHeading = Map.groupBy(source.tables, ({ heading }) => heading);
  const perHead = Map.groupBy(source.tables, ({ head }) => lineOf(head));
  const words = wordings[source.language];
  const placeOf = ({ heading, head }: ScrollTable): string | null => {
    if (source.tables.length === 1) return "";
    if (heading !== null && perHeading.get(heading)!.length === 1) return words.inSection(heading);
    const isTold = head.every((name) => /\p{L}/u.test(name)) && perHead.get(lineOf(head))!.length === 1;
    return isTold ? words.withColumns(head.slice(0, 4)) : null;
  };
  return source.tables.flatMap((table) => {
    const { head, rows } = table;
    const where = placeOf(table);
    if (where === null || head.length < 2) return [];
    const count = Map.groupBy(rows, ([name]) => name);
    const named = rows.flatMap((cells): NamedRow[] => {
      const [name = ""] = cells;
      const place = onlyPlaceOf(source, lineOf(cells));
      const isClear =
        name.trim() !== "" && name.length <= 80 && count.get(name)!.length === 1 && cells.length === head.length;
      return isClear && place ? [{ name, cells, ...place }] : [];
    });
    const columns = head.flatMap((name, index) =>
      index > 0 && name.trim() !== "" && name.length <= 80 && head.indexOf(name) === head.lastIndexOf(name)
        ? [index]
        : [],
    );
    return named.length >= 3 && columns.length > 0 ? [{ table, where, rows: named, columns }] : [];
  });
}

/** The number that a cell is: alone, with a unit or a sign of currency at most. */
function numberOf(cell: string): number | null {
  const numbers = numbersIn(cell);
  return numbers.length === 1 && /^[^\p{L}\d]*[-−]?[\d,.]+\s*(?:%|[\p{L}]{0,4})$/u.test(cell.trim())
    ? numbers[0]!
    : null;
}

/** Columns all of whose cells, in every row of the table, are numbers; their values by row name. */
function numericColumns({
  table,
  rows,
  columns,
}: Grid): { column: string; values: Map<string, number>; isWhole: boolean }[] {
  return columns.flatMap((index) => {
    const values = rows.map(({ name, cells }) => [name, numberOf(cells[index]!)] as const);
    if (values.some(([, value]) => value === null)) return [];
    const isWhole = table.rows.length === rows.length;
    return [{ column: table.head[index]!, values: new Map(values as [string, number][]), isWhole }];
  });
}

const lookUps = (source: ScrollSource, count: number, draws: Draws): Draft[] => {
  const cells = gridsOf(source).flatMap((grid) =>
    grid.rows.flatMap((row) => grid.columns.map((index) => ({ grid, row, index, cell: row.cells[index]!.trim() }))),
  );
  const telling = cells.filter(({ cell }) => cell.length >= 2 && cell.length <= 60 && /[\p{L}\p{N}]/u.test(cell));
  return spreadOver(telling, count, draws).map(({ grid, row, index, cell }) => {
    const value = numberOf(cell);
    return {
      ...{ ...template, task: "tables", subtask: "查询类", before: [] },
      question: wordings[source.language].lookUp(grid.where, row.name, grid.table.head[index]!),
      answer: cell,
      check: value === null ? { type: "text", accepted: [cell] } : { type: "number", value },
      evidence: [evidenceAt(source, row)],
    };
  });
};

/** Which row is the largest, or second: only where every row of the table has a number, and no two the same at the top. */
const rankings = (source: ScrollSource, count: number, draws: Draws): Draft[] => {
  const ranked = gridsOf(source).flatMap((grid) =>
    numericColumns(grid).flatMap(({ column, values, isWhole }) => {
      const order = [...values].sort(([, a], [, b]) => b - a);
      const [first, second, third] = order.map(([, value]) => value);
      const isClear = isWhole && first !== second && second !== third;
      return isClear ? [{ grid, column, order: order.map(([name]) => name) }] : [];
    }),
  );
  return spreadOver(ranked, count, draws).map(({ grid, column, order }, index) => {
    const isSecond = index % 2 === 1;
    const words = wordings[source.language];
    const name = order[isSecond ? 1 : 0]!;
    const row = grid.rows.find((one) => one.name === name)!;
    return {
      ...{ ...template, before: [] },
      ...(isSecond ? { task: "numerical", subtask: "对比排序" } : { task: "tables", subtask: "比较类" }),
      question: (isSecond ? words.second : words.largest)(grid.where, column),
      answer: name,
      check: { type: "text", accepted: [name] },
      evidence: [evidenceAt(source, row)],
    };
  });
};

const differences = (source: ScrollSource, count: number, draws: Draws): Draft[] => {
  const pairs = gridsOf(source).flatMap((grid) =>
    numericColumns(grid).flatMap(({ column, values }) => {
      const [a, b] = draws.sample([...values], 2).sort(([, x], [, y]) => y - x) as [[string, number], [string, number]];
      return a[1] > b[1] ? [{ grid, column, a, b }] : [];
    }),
  );
  return spreadOver(pairs, count, draws).map(({ grid, column, a, b }) => {
    const value = Number((a[1] - b[1]).toFixed(6));
    const rows = [a, b].map(([name]) => grid.rows.find((row) => row.name === name)!);
    return {
      ...{ ...template, task: "numerical", subtask: "数值计算", before: [] },
      question: wordings[source.language].difference(grid.where, column, a[0], b[0]),
      answer: `${a[1]} - ${b[1]} = ${value}`,
      check: { type: "number", value },
      evidence: rows.map((row) => evidenceAt(source, row)),
    };
  });
};

const mostSummed = 40;

const totals = (source: ScrollSource, count: number, draws: Draws): Draft[] => {
  const columns = gridsOf(source).flatMap((grid) =>
    numericColumns(grid)
      .filter(({ values, isWhole }) => isWhole && values.size <= mostSummed)
      .map((one) => ({ grid, ...one })),
  );
  return spreadOver(columns, count, draws).map(({ grid, column, values }) => {
    const value = Number([...values.values()].reduce((sum, one) => sum + one, 0).toFixed(6));
    return {
      ...{ ...template, task: "numerical", subtask: "数值计算", before: [] },
      question: wordings[source.language].total(grid.where, column),
      answer: String(value),
      check: { type: "number", value },
      evidence: grid.rows.map((row) => evidenceAt(source, row)),
    };
  });
};

export const tableTemplates = [lookUps, rankings, differences, totals] as const;
