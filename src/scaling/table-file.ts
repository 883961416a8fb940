/** The table of a sweep as a file: Parquet as we write it, CSV for what was measured elsewhere. */
import { readFileSync, statSync } from "node:fs";
import { extname } from "node:path";
import { RookeryError } from "../base/errors.ts";
import { fileError, readTextFile, writeFileAtomic } from "../base/files.ts";
import { columnNames, type LooseRow, type Point, parseCsv, readPoints, type TableRow, tableColumns } from "./table.ts";

export const tableEndings = [".parquet", ".csv"];

/** A sweep is hundreds of runs; whatever is larger is none. */
const mostBytes = 64 * 1024 * 1024;
const mostRows = 1_000_000;

/** Writes the rows; an empty table has its columns too. */
export async function writeTable(filePath: string, rows: readonly TableRow[]): Promise<void> {
  const { parquetWriteBuffer } = await import("hyparquet-writer");
  const columnData = columnNames.map((name) => ({
    name,
    data: rows.map((row) => row[name]),
    type: tableColumns[name].type === "number" ? ("DOUBLE" as const) : ("STRING" as const),
    nullable: true,
  }));
  writeFileAtomic(filePath, new Uint8Array(parquetWriteBuffer({ columnData })));
}

/**
 * The points of a `.parquet` or `.csv` file that a fit can use.
 * @throws RookeryError FILE_UNREADABLE, FILE_DAMAGED for a broken Parquet file, BAD_DATA for rows that cannot be used.
 */
export async function readTable(filePath: string): Promise<Point[]> {
  switch (extname(filePath).toLowerCase()) {
    case ".parquet":
      return readPoints(await parquetRows(filePath), filePath);
    case ".csv":
      return readPoints(parseCsv(readTextFile(filePath), filePath), filePath);
    default:
      throw new RookeryError(
        "UNKNOWN_FORMAT",
        `${filePath} ends neither in .parquet nor in .csv`,
        "give the table that `rookery scale run` wrote, or a CSV file with its columns",
      );
  }
}

async function parquetRows(filePath: string): Promise<LooseRow[]> {
  const bytes = readWhole(filePath);
  const { parquetMetadata, parquetReadObjects } = await import("hyparquet");
  try {
    const metadata = parquetMetadata(bytes);
    const count = Number(metadata.num_rows);
    if (!(count <= mostRows)) throw new Error(`it claims ${count} rows`);
    const known = new Set<string>(columnNames);
    // a schema begins with its root
    const columns = metadata.schema
      .slice(1)
      .map(({ name }) => name)
      .filter((name) => known.has(name));
    if (columns.length === 0) return count > 0 ? [{}] : [];
    return await parquetReadObjects({ file: bytes, metadata, columns });
  } catch (error) {
    throw new RookeryError(
      "FILE_DAMAGED",
      `${filePath} is no Parquet file that can be read: ${(error as Error).message.split("\n")[0]}`,
      "take another copy of it, or give the table as CSV",
    );
  }
}

function readWhole(filePath: string): ArrayBuffer {
  try {
    const { size } = statSync(filePath);
    if (size > mostBytes) {
      throw new RookeryError(
        "FILE_UNREADABLE",
        `${filePath} has ${size} bytes; the table of a sweep has less than ${mostBytes}`,
        "give the table of a sweep",
      );
    }
    const bytes = readFileSync(filePath);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  } catch (error) {
    throw fileError(error, filePath, "read");
  }
}
