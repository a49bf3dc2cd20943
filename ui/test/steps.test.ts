import { describe, expect, it } from "vitest";
import { parseAnsi, plainText } from "../src/ansi";
import type { Step } from "../src/documents";
import { duration, size } from "../src/format";
import { layoutGraph } from "../src/graphlayout";
import { blocks, geometry, ROW, rowAt, rowCount, rowOf, TALLEST } from "../src/logrows";
import { href, parseAddress } from "../src/router";
import { criticalPath, curve, lanes } from "../src/steps";

function step(number: number, given: Partial<Step> = {}): Step {
  return {
    number,
    digest: `sha256:${number}`,
    name: `[build ${number}/9] RUN ${number}`,
    text: `RUN ${number}`,
    stage: "build",
    platform: "",
    position: `${number}/9`,
    state: "ran",
    internal: false,
    inputs: [],
    ready: null,
    started: number,
    completed: number + 1,
    error: "",
    reason: "",
    lines: null,
    usage: null,
    cache: null,
    source: "",
    mounts: [],
    transfers: [],
    logLines: 0,
    ...given,
  };
}

describe("escape sequences", () => {
  it("become colours", () => {
    expect(parseAnsi("\x1b[1;31mred\x1b[0m plain \x1b[38;5;208mx\x1b[38;2;1;2;3my")).toEqual([
      { text: "red", bold: true, color: "ansi-1" },
      { text: " plain " },
      { text: "x", color: "rgb(255 135 0)" },
      { text: "y", color: "rgb(1 2 3)" },
    ]);
  });
  it("that are not colours are dropped", () => {
    expect(plainText("a\x1b]0;title\x07b\x1b[2Jc\x1b[999Dd\x1b(Be\x9bf\x08g")).toBe("abcdefg");
    expect(plainText("\x1b]8;;javascript:alert(1)\x1b\\link\x1b]8;;\x1b\\")).toBe("link");
  });
  it("of a progress bar leave its last state", () => {
    expect(plainText("10%\r50%\r100%")).toBe("100%");
  });
  it("with absurd numbers do no harm", () => {
    expect(plainText(`\x1b[${"9".repeat(400)};38;5;999m!`)).toBe("!");
  });
});

describe("the log", () => {
  const steps = [step(1), step(2), step(3)];
  const index = {
    complete: true,
    steps: [
      { step: "sha256:1", lines: 3, bytes: 9 },
      { step: "sha256:3", lines: 1_000_000, bytes: 1 },
    ],
  };
  const all = blocks(steps, index, "");
  it("has a header for each step and a row for each line", () => {
    expect(rowCount(all)).toBe(1_000_005);
    expect(rowAt(all, 0)).toMatchObject({ line: -1, block: { step: { number: 1 } } });
    expect(rowAt(all, 3)).toMatchObject({ line: 2, block: { step: { number: 1 } } });
    expect(rowAt(all, 4)).toMatchObject({ line: -1, block: { step: { number: 3 } } });
    expect(rowAt(all, 1_000_005)).toBeNull();
    expect(rowOf(all, "sha256:3", 41)).toBe(46);
  });
  it("is scaled if it is too tall for a browser", () => {
    const viewport = 600;
    for (const rows of [10, 1000, 1_000_005, 5_000_000]) {
      const map = geometry(rows, viewport);
      expect(map.height).toBeLessThanOrEqual(TALLEST);
      const end = map.top(Math.max(0, map.height - viewport));
      const shown = end.row * ROW + end.offset + viewport;
      expect(Math.abs(shown - Math.max(viewport, rows * ROW))).toBeLessThan(ROW);
      const middle = Math.floor(rows / 2);
      expect(Math.abs(map.top(map.scroll(middle)).row - Math.min(middle, end.row))).toBeLessThanOrEqual(1);
    }
  });
});

describe("steps", () => {
  it("of the critical path are those that each waited for", () => {
    const steps = [
      step(1, { started: 0, completed: 5 }),
      step(2, { started: 0, completed: 9 }),
      step(3, { inputs: ["sha256:1", "sha256:2"], started: 9, completed: 10 }),
      step(4, { stage: "", internal: true, started: 10, completed: 11 }),
    ];
    expect([...criticalPath(steps, 11)]).toEqual(["sha256:4", "sha256:3", "sha256:2"]);
  });
  it("that run in parallel have rows of their own", () => {
    const found = lanes([step(1, { started: 0, completed: 3 }), step(2, { started: 1, completed: 2 }), step(3, { started: 3, completed: 4 })], 5);
    expect(found.map((lane) => lane.rows.map((row) => row.map((bar) => bar.step.number)))).toEqual([[[1, 3], [2]]]);
  });
  it("add up to a curve", () => {
    const points = curve([step(1, { started: 0, completed: 2 }), step(2, { started: 1, completed: 3 })], 3, () => 1);
    expect(points).toEqual([
      { time: 0, value: 1 },
      { time: 1, value: 2 },
      { time: 2, value: 1 },
      { time: 3, value: 0 },
    ]);
  });
  it("are all in the graph, also a thousand of them", () => {
    const steps = Array.from({ length: 1000 }, (_, index) =>
      step(index, { stage: `s${index % 120}`, inputs: index >= 120 ? [`sha256:${index - 120}`] : index ? [`sha256:${index >> 1}`] : [] }),
    );
    const layout = layoutGraph(steps);
    expect(layout.groups.flatMap((group) => group.steps)).toHaveLength(1000);
    expect(layout.edges).toHaveLength(999);
  });
});

describe("addresses and texts", () => {
  it("of addresses survive any name", () => {
    const to = href(["builds", "a/b?c#d%"], { step: 3, find: "x&y=z", none: undefined });
    expect(parseAddress(to)).toEqual({ path: ["builds", "a/b?c#d%"], query: { step: "3", find: "x&y=z" } });
    expect(parseAddress("#/builds/%E0%A4%A")).toMatchObject({ path: ["builds", "%E0%A4%A"] });
  });
  it("of durations and sizes are short", () => {
    expect([0, 0.0123, 1.234, 12.34, 65, 3725].map(duration)).toEqual(["0 ms", "12 ms", "1.23 s", "12.3 s", "1 min 05 s", "1 h 02 min"]);
    expect([0, 999, 1000, 12345678].map(size)).toEqual(["0 B", "999 B", "1.00 kB", "12.3 MB"]);
  });
});
