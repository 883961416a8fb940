/** The row under the pointer, shared by every chart: hovering one shows that step in all. */
import { useEffect, useState } from "preact/hooks";

type Listener = (row: number | undefined) => void;

export class Hover {
  #row: number | undefined;
  #listeners = new Set<Listener>();

  set(row: number | undefined): void {
    if (row === this.#row) return;
    this.#row = row;
    for (const listener of this.#listeners) listener(row);
  }

  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

export const hover = new Hover();

export function useHoveredRow(): number | undefined {
  const [row, setRow] = useState<number>();
  useEffect(() => hover.subscribe(setRow), []);
  return row;
}
