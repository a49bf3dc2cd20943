// The rows of a log view: a header for each step, and its lines. Nothing here has the lines.
import type { LogIndex, Step } from "./documents";

export interface Block {
  step: Step;
  row: number; // of the header
  lines: number;
}

export interface Row {
  block: Block;
  line: number; // -1 for the header
}

export const ROW = 18; // pixels
/** Browsers limit the height of an element: Firefox to 17.8 million pixels. */
export const TALLEST = 15_000_000;

export function blocks(steps: Step[], index: LogIndex, only: string): Block[] {
  const sizes = new Map(index.steps.map((one) => [one.step, one.lines]));
  const found: Block[] = [];
  let row = 0;
  for (const step of steps) {
    const lines = sizes.get(step.digest) ?? 0;
    if (only ? step.digest !== only : !lines && step.state !== "failed") continue;
    found.push({ step, row, lines });
    row += lines + 1;
  }
  return found;
}

export function rowCount(all: Block[]): number {
  const last = all[all.length - 1];
  return last ? last.row + 1 + last.lines : 0;
}

/** The row at a number, by bisection. */
export function rowAt(all: Block[], number: number): Row | null {
  let low = 0;
  let high = all.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (all[middle]!.row <= number) low = middle;
    else high = middle - 1;
  }
  const block = all[low];
  if (!block || number >= block.row + 1 + block.lines) return null;
  return { block, line: number - block.row - 1 };
}

/** The number of the row of a line; -1 if it is not shown. */
export function rowOf(all: Block[], step: string, line: number): number {
  const block = all.find((one) => one.step.digest === step);
  return block ? block.row + 1 + Math.min(line, Math.max(0, block.lines - 1)) : -1;
}

export interface Geometry {
  height: number; // of the scrolled element
  /** The first visible row and the part of it that is scrolled away, for a scroll position. */
  top: (scroll: number) => { row: number; offset: number };
  scroll: (row: number) => number;
}

/** Maps rows to pixels. Very long logs are scaled, so that the element is not too tall. */
export function geometry(rows: number, viewport: number, tallest = TALLEST): Geometry {
  const whole = rows * ROW;
  const height = Math.min(whole, tallest);
  const room = Math.max(1, height - viewport);
  const scale = whole > tallest ? (whole - viewport) / room : 1;
  return {
    height,
    top: (scroll) => {
      const at = Math.max(0, scroll) * scale;
      const row = Math.floor(at / ROW);
      return { row, offset: at - row * ROW };
    },
    scroll: (row) => Math.min(room, (row * ROW) / scale),
  };
}
