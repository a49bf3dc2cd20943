// Why steps missed the cache, down to the root causes.
import { ApiError } from "../api";
import type { Build, Explanations, Step } from "../documents";
import { duration, shortDigest } from "../format";
import { href } from "../router";
import { seconds } from "../steps";
import { Empty, Failure, Loading } from "./Basics";
import { Mark } from "./Mark";
import { Diff } from "./StepPanel";

interface Props {
  build: Build;
  explanations: Explanations | null;
  error: ApiError | null;
  now: number;
  selected: Step | undefined;
  select: (step: Step) => void;
}

export function Explain({ build, explanations, error, now, selected, select }: Props) {
  if (error) return <Failure error={error} />;
  if (!explanations) return <Loading what="explanations" />;
  const byDigest = new Map(build.steps.map((step) => [step.digest, step]));
  if (!explanations.steps.length) return <Empty>No step missed the cache.</Empty>;
  const compared = [...new Set(explanations.steps.map((one) => one.compared).filter(Boolean))];
  return (
    <div class="explain">
      {!explanations.keysRecorded && <p class="notice">The builder recorded no cache keys, so only instructions are compared.</p>}
      {compared.length > 0 && (
        <p class="quiet">
          Compared with{" "}
          {compared.map((other, index) => (
            <span key={other}>
              {index > 0 && ", "}
              <a href={href(["compare", other, build.row.ref])}>{shortDigest(other)}</a>
            </span>
          ))}
        </p>
      )}
      <ol class="causes">
        {explanations.steps.map((one) => {
          const step = byDigest.get(one.step);
          if (!step) return null;
          return (
            <li key={one.step} class={step === selected ? "chosen" : undefined}>
              <button type="button" class="link step" onClick={() => select(step)}>
                <Mark state={step.state} />
                <span class="name">{step.name}</span>
              </button>
              <span class="time">{duration(seconds(step, now))}</span>
              <p>{one.text}</p>
              {one.causes.map((cause, index) => cause.diff.length > 0 && <Diff key={index} lines={cause.diff} />)}
            </li>
          );
        })}
      </ol>
    </div>
  );
}
