// Calculations on the steps of a build.
import type { Step } from "./documents";

export interface Span {
  start: number;
  end: number;
}

/** Seconds that a step took so far; null if it did not start. */
export function seconds(step: Step, now: number): number | null {
  if (step.started === null) return null;
  return Math.max(0, (step.completed ?? now) - step.started);
}

/** The time from the first start to the last end. */
export function span(steps: Step[], now: number): Span {
  let start = Infinity;
  let end = -Infinity;
  for (const step of steps) {
    if (step.started === null) continue;
    start = Math.min(start, step.started);
    end = Math.max(end, step.completed ?? now);
  }
  return start <= end ? { start, end } : { start: now, end: now };
}

/** The group that a step is shown in. */
export function groupOf(step: Step): string {
  const stage = step.stage || (step.source ? "sources" : step.internal ? "exports" : "steps");
  return step.platform ? `${stage} ${step.platform}` : stage;
}

/**
 * The inputs of each step by digest. Exports are recorded without inputs: they read what no other
 * step reads.
 */
export function inputsOf(steps: Step[]): Map<string, string[]> {
  const known = new Set(steps.map((step) => step.digest));
  const read = new Set(steps.flatMap((step) => step.inputs));
  const results = steps.filter((step) => !step.internal && !read.has(step.digest)).map((step) => step.digest);
  return new Map(
    steps.map((step) => {
      const isExport = step.internal && !step.inputs.length && !step.stage;
      return [step.digest, isExport ? results : step.inputs.filter((digest) => known.has(digest))];
    }),
  );
}

/**
 * The digests of the steps that the duration of the build came from: the last one to end, before it
 * the input that ended last, and so on.
 */
export function criticalPath(steps: Step[], now: number): Set<string> {
  const byDigest = new Map(steps.map((step) => [step.digest, step]));
  const end = (step: Step) => step.completed ?? (step.started === null ? -Infinity : now);
  const inputs = inputsOf(steps);
  const path = new Set<string>();
  let current: Step | undefined;
  for (const step of steps) {
    if (step.started !== null && (!current || end(step) > end(current))) current = step;
  }
  while (current && !path.has(current.digest)) {
    path.add(current.digest);
    let before: Step | undefined;
    for (const digest of inputs.get(current.digest) ?? []) {
      const input = byDigest.get(digest);
      if (input && input.started !== null && (!before || end(input) > end(before))) before = input;
    }
    current = before;
  }
  return path;
}

export interface Bar {
  step: Step;
  start: number;
  end: number;
  waited: number; // seconds between the end of its inputs and its start
}

export interface Lane {
  name: string;
  rows: Bar[][];
}

/** The lanes of a timeline: one for each group, with a row for each step that runs in parallel. */
export function lanes(steps: Step[], now: number): Lane[] {
  const found = new Map<string, Lane>();
  for (const step of steps) {
    if (step.started === null) continue;
    const start = step.started;
    const end = Math.max(start, step.completed ?? now);
    const waited = step.ready === null ? 0 : Math.max(0, start - step.ready);
    const name = groupOf(step);
    let lane = found.get(name);
    if (!lane) found.set(name, (lane = { name, rows: [] }));
    const bar = { step, start, end, waited };
    const row = lane.rows.find((bars) => bars[bars.length - 1]!.end <= start + 1e-4);
    if (row) row.push(bar);
    else lane.rows.push([bar]);
  }
  return [...found.values()];
}

export interface Point {
  time: number;
  value: number;
}

/** The sum of a value of the steps that run, over time. */
export function curve(steps: Step[], now: number, value: (step: Step, seconds: number) => number | null): Point[] {
  const changes: Point[] = [];
  for (const step of steps) {
    if (step.started === null) continue;
    const end = step.completed ?? now;
    const amount = value(step, Math.max(end - step.started, 1e-3));
    if (!amount) continue;
    changes.push({ time: step.started, value: amount }, { time: end, value: -amount });
  }
  changes.sort((a, b) => a.time - b.time);
  const points: Point[] = [];
  let total = 0;
  for (const change of changes) {
    total += change.value;
    const last = points[points.length - 1];
    if (last && last.time === change.time) last.value = Math.max(0, total);
    else points.push({ time: change.time, value: Math.max(0, total) });
  }
  return points;
}
