// Everything about one step.
import { useEffect } from "preact/hooks";
import type { Build, Savings, Step, StepExplanation } from "../documents";
import { duration, shortDigest, size } from "../format";
import { href } from "../router";
import { seconds } from "../steps";
import { Copy, Fact } from "./Basics";
import { Mark } from "./Mark";

interface Props {
  build: Build;
  step: Step;
  now: number;
  explanation: StepExplanation | undefined;
  savings: Savings | null;
  select: (step: Step | undefined) => void;
}

export function StepPanel({ build, step, now, explanation, savings, select }: Props) {
  const reference = build.row.ref;
  const byDigest = new Map(build.steps.map((one) => [one.digest, one]));
  const saved = savings?.steps.find((one) => one.step === step.digest);
  useEffect(() => {
    const close = (event: KeyboardEvent) => {
      if (event.key === "Escape") select(undefined);
    };
    addEventListener("keydown", close);
    return () => removeEventListener("keydown", close);
  }, [select]);
  const waited = step.ready !== null && step.started !== null ? Math.max(0, step.started - step.ready) : 0;
  const link = (other: Step) => (
    <button type="button" class="link" onClick={() => select(other)}>
      {other.number}. {other.text}
    </button>
  );
  return (
    <aside class="panel" aria-label={`Step ${step.number}`}>
      <header>
        <Mark state={step.state} word />
        <span class="quiet">step {step.number}</span>
        <span class="spacer" />
        <button type="button" onClick={() => select(undefined)} aria-label="Close the step">
          ✕
        </button>
      </header>
      <h2 class="command">{step.text}</h2>
      {step.error && <p class="notice failure">{step.error}</p>}
      <dl class="facts">
        {step.stage && <Fact name="Stage">{[step.stage, step.position, step.platform].filter(Boolean).join(" · ")}</Fact>}
        {step.state === "cached" ? (
          <Fact name="Saved">{saved ? duration(saved.seconds) : "not known"}</Fact>
        ) : (
          <Fact name="Duration">{duration(seconds(step, now))}</Fact>
        )}
        {waited >= 0.01 && <Fact name="Waited">{duration(waited)} after its inputs were ready</Fact>}
        {step.lines && (
          <Fact name="Source">
            <a href={href(["builds", reference, "dockerfile"], { step: step.number })}>
              {step.lines.file}:{step.lines.first}
            </a>
          </Fact>
        )}
        {step.source && <Fact name="Reads">{step.source}</Fact>}
        {step.logLines > 0 && (
          <Fact name="Log">
            <a href={href(["builds", reference, "logs"], { step: step.number, only: 1 })}>{step.logLines.toLocaleString("en")} lines</a>
          </Fact>
        )}
      </dl>
      {(explanation || step.reason) && (
        <>
          <h3>Why it ran</h3>
          <Why explanation={explanation} reason={step.reason} byDigest={byDigest} link={link} />
        </>
      )}
      {step.usage && (
        <>
          <h3>Used by its command</h3>
          <dl class="facts">
            {step.usage.cpu !== null && <Fact name="CPU time">{duration(step.usage.cpu)}</Fact>}
            {step.usage.memory !== null && <Fact name="Peak memory">{size(step.usage.memory)}</Fact>}
            {step.usage.read !== null && <Fact name="Read">{size(step.usage.read)}</Fact>}
            {step.usage.written !== null && <Fact name="Written">{size(step.usage.written)}</Fact>}
            {step.usage.received !== null && <Fact name="Received">{size(step.usage.received)}</Fact>}
            {step.usage.sent !== null && <Fact name="Sent">{size(step.usage.sent)}</Fact>}
          </dl>
        </>
      )}
      {step.transfers.length > 0 && (
        <>
          <h3>Transfers</h3>
          <ul class="plain">
            {step.transfers.slice(0, 40).map((transfer) => (
              <li key={transfer.name}>
                {transfer.name} <span class="quiet">{transfer.current ? size(transfer.current) : ""}</span>
              </li>
            ))}
          </ul>
        </>
      )}
      {step.inputs.length > 0 && (
        <>
          <h3>Depends on</h3>
          <ul class="plain">
            {step.inputs.map((digest) => {
              const input = byDigest.get(digest);
              return <li key={digest}>{input ? link(input) : <code>{shortDigest(digest)}</code>}</li>;
            })}
          </ul>
        </>
      )}
      {step.mounts.length > 0 && (
        <>
          <h3>Mounts</h3>
          <ul class="plain">
            {step.mounts.map((mount) => (
              <li key={mount}>
                <code>{mount}</code>
              </li>
            ))}
          </ul>
        </>
      )}
      {step.cache && (
        <>
          <h3>Cache key</h3>
          <p>
            <code>{shortDigest(step.cache.key)}</code> <Copy text={step.cache.key} what="the cache key" />
            {step.cache.origin && <span> imported from {step.cache.origin}</span>}
          </p>
        </>
      )}
      <h3>Digest</h3>
      <p>
        <code>{shortDigest(step.digest)}</code> <Copy text={step.digest} what="the digest" />
      </p>
    </aside>
  );
}

function Why({ explanation, reason, byDigest, link }: { explanation: StepExplanation | undefined; reason: string; byDigest: Map<string, Step>; link: (step: Step) => preact.JSX.Element }) {
  if (!explanation) return <p>{reason}</p>;
  const others = explanation.roots.filter((root) => root.step !== explanation.step);
  return (
    <>
      <p>{explanation.text}</p>
      {explanation.causes.map((cause, index) => cause.diff.length > 0 && <Diff key={index} lines={cause.diff} />)}
      {others.length > 0 && (
        <ul class="plain">
          {others.map((root, index) => {
            const step = byDigest.get(root.step);
            return (
              <li key={index}>
                {step && link(step)} <span class="quiet">{root.text}</span>
              </li>
            );
          })}
        </ul>
      )}
    </>
  );
}

export function Diff({ lines }: { lines: string[] }) {
  return (
    <pre class="diff">
      {lines.map((line, index) => (
        <span key={index} class={line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : undefined}>
          {line}
          {"\n"}
        </span>
      ))}
    </pre>
  );
}
