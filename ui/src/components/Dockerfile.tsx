// The Dockerfile with the time and the cache state of each instruction.
import { useMemo } from "preact/hooks";
import type { Build, Step } from "../documents";
import { duration } from "../format";
import { seconds } from "../steps";
import { Empty } from "./Basics";
import { Mark } from "./Mark";

interface Props {
  build: Build;
  now: number;
  selected: Step | undefined;
  select: (step: Step) => void;
}

export function Dockerfile({ build, now, selected, select }: Props) {
  const { starts, inside, longest } = useMemo(() => {
    const starts = new Map<number, Step[]>();
    const inside = new Map<number, Step>();
    let longest = 0;
    for (const step of build.steps) {
      if (!step.lines) continue;
      starts.set(step.lines.first, [...(starts.get(step.lines.first) ?? []), step]);
      for (let line = step.lines.first; line <= step.lines.last; line += 1) inside.set(line, step);
      if (step.state !== "cached") longest = Math.max(longest, seconds(step, now) ?? 0);
    }
    return { starts, inside, longest };
  }, [build, now]);
  if (!build.dockerfile) return <Empty>The record of this build does not have its Dockerfile.</Empty>;
  const warnings = new Map(build.warnings.filter((w) => w.lines).map((w) => [w.lines!.last, w]));
  const lines = build.dockerfile.replace(/\n$/, "").split("\n");
  return (
    <div class="dockerfile" role="table" aria-label={build.dockerfileName}>
      {lines.map((text, index) => {
        const number = index + 1;
        const steps = starts.get(number) ?? [];
        const step = inside.get(number);
        const total = steps.reduce((sum, one) => sum + (one.state === "cached" ? 0 : (seconds(one, now) ?? 0)), 0);
        const worst = worstOf(steps);
        const warning = warnings.get(number);
        return (
          <div key={number} role="row" class={`source${step && step === selected ? " chosen" : ""}${worst ? ` tone-${worst.state}` : ""}`}>
            <span role="cell" class="state">
              {worst && (
                <button type="button" onClick={() => select(worst)} aria-label={`Step ${worst.number}: ${worst.name}`}>
                  <Mark state={worst.state} word />
                </button>
              )}
            </span>
            <span role="cell" class="time">
              {worst && worst.state !== "cached" && worst.state !== "waiting" ? duration(total) : ""}
              {total > 0 && <i style={{ width: `${(total / (longest || 1)) * 100}%` }} aria-hidden="true" />}
            </span>
            <span role="cell" class="number">
              {number}
            </span>
            <code role="cell">
              {text || " "}
              {warning && <span class="warning">{warning.text}</span>}
            </code>
          </div>
        );
      })}
    </div>
  );
}

const ORDER = ["failed", "canceled", "running", "ran", "waiting", "cached"];

function worstOf(steps: Step[]): Step | undefined {
  return [...steps].sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state))[0];
}
