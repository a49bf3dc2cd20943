// One build: its summary, and a view of its steps.
import { useCallback, useEffect } from "preact/hooks";
import { buildPath, isReport, useApi, useEvents, useNow } from "../api";
import { Copy, Fact, Failure, Loading, Tabs } from "../components/Basics";
import { Details } from "../components/Details";
import { Dockerfile } from "../components/Dockerfile";
import { Explain } from "../components/Explain";
import { Graph } from "../components/Graph";
import { LogView, stepOf } from "../components/LogView";
import { Mark } from "../components/Mark";
import { StepPanel } from "../components/StepPanel";
import { Timeline } from "../components/Timeline";
import type { Build, Explanations, LogIndex, Savings, Step } from "../documents";
import { ago, count, duration, moment, percent, shortDigest, size } from "../format";
import { go, href, type Address } from "../router";
import { seconds } from "../steps";

const VIEWS = ["timeline", "graph", "logs", "explain", "dockerfile", "details"] as const;
const LABELS: Record<(typeof VIEWS)[number], string> = {
  timeline: "Timeline",
  graph: "Graph",
  logs: "Logs",
  explain: "Cache misses",
  dockerfile: "Dockerfile",
  details: "Details",
};

export function BuildPage({ reference, address }: { reference: string; address: Address }) {
  const view = VIEWS.find((name) => name === address.path[2]) ?? "timeline";
  const { data: build, error, reload } = useApi<Build>(buildPath(reference));
  const running = build ? !build.complete : false;
  const now = useNow(running);
  const ended = build !== null && !running;
  const explained = useApi<Explanations>(build && !(running && view !== "explain") ? buildPath(reference, "explain") : null);
  const savings = useApi<Savings>(ended ? buildPath(reference, "savings") : null);
  const index = useApi<LogIndex>(build && view === "logs" ? buildPath(reference, "log") : null);
  useEvents(running ? buildPath(reference, "events") : null, ["build", "complete"], () => {
    reload();
    index.reload();
    if (view === "explain") explained.reload();
  });
  const select = useCallback(
    (step: Step | undefined) => go(href(["builds", reference, view], { ...address.query, step: step?.number, line: undefined }), true),
    [reference, view, address],
  );
  const name = build?.row.name;
  useEffect(() => {
    if (name) document.title = `${name} – lamina`;
  }, [name]);
  if (error) return <Failure error={error} />;
  if (!build) return <Loading what="the build" />;
  const selected = stepOf(build.steps, address.query.step);
  const misses = explained.data?.steps.length;
  const notes: Partial<Record<string, string>> = {
    explain: misses ? String(misses) : undefined,
  };
  return (
    <div class="build">
      <Summary build={build} savings={savings.data} now={now} />
      <Tabs
        label="Views of the build"
        current={view}
        items={VIEWS.map((one) => ({ name: one, label: LABELS[one], note: notes[one], href: href(["builds", reference, one], { step: selected?.number }) }))}
      />
      <div class={`view view-${view}${selected && view !== "logs" && view !== "details" ? " with-panel" : ""}`}>
        <div class="main">
          {view === "timeline" && <Timeline build={build} now={now} selected={selected} select={select} />}
          {view === "graph" && <Graph build={build} now={now} selected={selected} select={select} />}
          {view === "logs" && (index.error ? <Failure error={index.error} /> : index.data ? <LogView build={build} index={index.data} query={address.query} now={now} /> : <Loading what="the log" />)}
          {view === "explain" && <Explain build={build} explanations={explained.data} error={explained.error} now={now} selected={selected} select={select} />}
          {view === "dockerfile" && <Dockerfile build={build} now={now} selected={selected} select={select} />}
          {view === "details" && <Details build={build} />}
        </div>
        {selected && view !== "logs" && view !== "details" && (
          <StepPanel build={build} step={selected} now={now} explanation={explained.data?.steps.find((one) => one.step === selected.digest)} savings={savings.data} select={select} />
        )}
      </div>
    </div>
  );
}

function Summary({ build, savings, now }: { build: Build; savings: Savings | null; now: number }) {
  const { row } = build;
  const total = (row.completed ?? now) - row.started;
  const operations = build.steps.filter((step) => !step.internal);
  const done = build.steps.filter((step) => step.completed !== null).length;
  const cached = operations.filter((step) => step.state === "cached").length;
  const costliest = build.steps.find((step) => step.digest === savings?.costliest);
  return (
    <header class="summary">
      <div class="title">
        <h1>{row.name || "build"}</h1>
        <Mark state={row.status} word />
        <span class="spacer" />
        {!isReport && row.status !== "running" && (
          <a href={href(["builds"], { compare: row.ref })} class="action">
            Compare with …
          </a>
        )}
      </div>
      <p class="quiet meta">
        <code>{shortDigest(row.ref)}</code> <Copy text={row.ref} what="the ID of the build" /> · {moment(row.started)}
        {!isReport && ` (${ago(row.started, Date.now() / 1000)})`}
        {row.context && ` · ${row.context}`}
        {row.revision && ` · revision ${row.revision.slice(0, 12)}`}
        {row.platform && ` · ${row.platform}`}
      </p>
      {build.failure && (
        <div class="notice failure" role="alert">
          <strong>{build.failure.message}</strong>
          {build.failure.hint && <p>{build.failure.hint}</p>}
          {build.failure.sources && <pre>{build.failure.sources}</pre>}
        </div>
      )}
      <dl class="figures">
        <Fact name="Duration">{duration(total)}</Fact>
        <Fact name="Steps">
          {row.status === "running" ? `${done} of ${build.steps.length}` : String(build.steps.length)}
        </Fact>
        <Fact name="Cached">
          {cached} of {operations.length} <small>{percent(cached, operations.length)}</small>
        </Fact>
        {savings && (
          <Fact name="Saved by the cache">
            {savings.steps.length || !cached ? duration(savings.seconds) : "not known"}
            {savings.unknown > 0 && savings.steps.length > 0 && <small> and {count(savings.unknown, "step")} not known</small>}
          </Fact>
        )}
        {costliest && (
          <Fact name="Costliest step">
            <a href={href(["builds", row.ref, "timeline"], { step: costliest.number })} title={costliest.name}>
              {duration(seconds(costliest, now))}
            </a>{" "}
            <small>{costliest.text.slice(0, 28)}</small>
          </Fact>
        )}
        {build.usage?.cpu !== null && build.usage && <Fact name="CPU time">{duration(build.usage.cpu)}</Fact>}
        {build.usage?.memory !== null && build.usage && <Fact name="Peak memory">{size(build.usage.memory)}</Fact>}
        {row.warnings > 0 && (
          <Fact name="Warnings">
            <a href={href(["builds", row.ref, "details"])}>{row.warnings}</a>
          </Fact>
        )}
      </dl>
    </header>
  );
}
