/**
 * The results of a sweep: a row a training run, with everything that a fit needs. The columns are fixed here, for the sweep that
 * writes them and for whoever reads them elsewhere.
 */
import { RookeryError } from "../base/errors.ts";
import { quoteForMessage } from "../base/files.ts";
import { parseCsvLines } from "../data/csv.ts";

type ColumnType = "number" | "text";
type Column = { type: ColumnType; isRequired: boolean; meaning: string };

const number = (meaning: string) => ({ type: "number", isRequired: false, meaning }) as const;
const required = (meaning: string) => ({ type: "number", isRequired: true, meaning }) as const;
const text = (meaning: string) => ({ type: "text", isRequired: false, meaning }) as const;

/** In the order in which they are written. */
export const tableColumns = {
  budget: required("FLOPs that the run was to take: runs of one budget make one curve"),
  activated_parameters: required("parameters that a token meets"),
  tokens: required("tokens trained on"),
  loss: required("held-out cross-entropy at the end, nats a token"),
  compute: number("FLOPs that the run took, counted from its architecture; by default the budget"),
  total_parameters: number("parameters in all"),
  batch_tokens: number("tokens an update"),
  noise_tokens: number("simple noise scale of the gradient near the end, in tokens"),
  seed: number("fixes weights and data order"),
  learning_rate: number("peak rate of the dense parameters"),
  expert_learning_rate_ratio: number("rate of the specialised experts over that"),
  sequence_length: number("tokens a row"),
  steps: number("updates"),
  training_loss: number("mean training cross-entropy of the last steps"),
  bits_per_byte: number("held-out loss a byte of text"),
  passes: number("how often each token of the data was seen"),
  seconds: number("time of training"),
  status: text("done, or failed: a failed run counts nowhere"),
  error: text("what a failed run died of"),
  run: text("name of the run"),
  architecture: text("the model's configuration as JSON"),
  rookery_version: text("version that trained it"),
} as const satisfies Record<string, Column>;

export type ColumnName = keyof typeof tableColumns;
export const columnNames = Object.keys(tableColumns) as ColumnName[];

/** A row as it is stored: null where nothing is known. */
export type TableRow = {
  [Name in ColumnName]: ((typeof tableColumns)[Name]["type"] extends "number" ? number : string) | null;
};

/** A row that a fit can use. */
export type Point = {
  budget: number;
  compute: number;
  parameters: number;
  tokens: number;
  loss: number;
  batchTokens: number | null;
  noiseTokens: number | null;
};

/** Rows of unknown origin, such as a CSV file's: keys are names of columns, and further keys are passed over. */
export type LooseRow = Readonly<Record<string, unknown>>;

function damaged(message: string, hint: string): RookeryError {
  return new RookeryError("BAD_DATA", message, hint);
}

/**
 * Checks rows and takes what a fit needs from those that are done.
 * @param source names the table in messages.
 * @throws RookeryError BAD_DATA, naming the row (counted from 1, the heading aside), the column, the value and the mend.
 */
export function readPoints(rows: readonly LooseRow[], source: string): Point[] {
  if (rows.length === 0) throw damaged(`${source} has no rows`, "run the sweep, or give its table");
  const missing = columnNames.filter((name) => tableColumns[name].isRequired && !rows.some((row) => name in row));
  if (missing.length > 0) {
    throw damaged(`${source} has no column ${missing.join(", ")}`, `a table needs ${columnsNeeded()}`);
  }
  const points = rows.flatMap((row, index): Point[] => {
    if (row.status !== undefined && row.status !== null && row.status !== "" && row.status !== "done") return [];
    const place = `${source}, row ${index + 1}`;
    const value = (name: ColumnName) => positive(row[name], `${place}: ${name}`);
    const optional = (name: ColumnName) => (isAbsent(row[name]) ? null : value(name));
    const budget = value("budget");
    return [
      {
        budget,
        compute: optional("compute") ?? budget,
        parameters: value("activated_parameters"),
        tokens: value("tokens"),
        loss: value("loss"),
        batchTokens: optional("batch_tokens"),
        noiseTokens: optional("noise_tokens"),
      },
    ];
  });
  if (points.length === 0) throw damaged(`${source} has no row that is done`, "let the sweep finish some of its runs");
  return points;
}

function columnsNeeded(): string {
  return columnNames.filter((name) => tableColumns[name].isRequired).join(", ");
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null || value === "";
}

function positive(value: unknown, what: string): number {
  const number = typeof value === "bigint" || typeof value === "string" ? Number(value) : value;
  if (typeof number === "number" && Number.isFinite(number) && number > 0 && !isAbsent(value)) return number;
  const shown = isAbsent(value) ? "empty" : typeof value === "string" ? quoteForMessage(value) : String(value);
  throw damaged(
    `${what} is ${shown}`,
    "it must be a number above 0: mend the row, remove it, or set its status to failed",
  );
}

const mostCsvRows = 1_000_000;

/** The rows of a CSV text with a heading line, cells optionally in double quotes. @throws RookeryError BAD_DATA. */
export function parseCsv(content: string, source: string): LooseRow[] {
  const [heading, ...rest] = parseCsvLines(content, source, mostCsvRows);
  if (!heading) throw damaged(`${source} is empty`, `a table needs the columns ${columnsNeeded()}`);
  const names = heading.map((name) => name.trim());
  return rest.map((cells, index) => {
    if (cells.length > names.length) {
      throw damaged(
        `${source}, row ${index + 1} has ${cells.length} cells and the heading ${names.length}`,
        "separate cells by commas, and quote those that hold one",
      );
    }
    return Object.fromEntries(names.map((name, column) => [name, (cells[column] ?? "").trim()]));
  });
}
