import { useState } from "preact/hooks";

const shownRows = 20;

export type TableProps = {
  caption: string;
  heads: readonly string[];
  rows: number;
  rowOf: (row: number) => readonly string[];
};

/** The same figures as text, for whoever does not see the drawing; made only when it is opened. */
export function TableView({ caption, heads, rows, rowOf }: TableProps) {
  const [isOpen, setIsOpen] = useState(false);
  const count = Math.min(rows, shownRows);
  const chosen = Array.from({ length: count }, (_, index) =>
    count < 2 ? 0 : Math.round((index * (rows - 1)) / (count - 1)),
  );
  return (
    <details class="table-view" onToggle={(event) => setIsOpen(event.currentTarget.open)}>
      <summary>Table</summary>
      {isOpen && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard
        <div class="table-scroll" tabIndex={0}>
          <table>
            <caption class="visually-hidden">
              {caption}: {count} of {rows} rows
            </caption>
            <thead>
              <tr>
                {heads.map((head) => (
                  <th key={head} scope="col">
                    {head}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {chosen.map((row) => {
                const [head, ...cells] = rowOf(row);
                return (
                  <tr key={row}>
                    <th scope="row">{head}</th>
                    {cells.map((cell, index) => (
                      <td key={heads[index + 1]}>{cell}</td>
                    ))}
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}
