// The logs of a build. Only the visible lines are in the page, and only those around them are
// requested.
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { buildPath, get, isReport, useApi } from "../api";
import type { Build, LogIndex, LogLine, LogMatches, LogPage, Step } from "../documents";
import { duration } from "../format";
import { blocks, geometry, ROW, rowAt, rowCount, rowOf } from "../logrows";
import { go, href } from "../router";
import { seconds } from "../steps";
import { Empty, Failure } from "./Basics";
import { LogText } from "./LogText";
import { Mark } from "./Mark";

const PAGE = 200;
const MOST_PAGES = 200;
const OVER = 12; // rows that are rendered above and below

interface Props {
  build: Build;
  index: LogIndex;
  query: Record<string, string>;
  now: number;
}

export function LogView({ build, index, query, now }: Props) {
  const reference = build.row.ref;
  const chosen = stepOf(build.steps, query.step);
  const only = query.only ? (chosen?.digest ?? "") : "";
  const all = useMemo(() => blocks(build.steps, index, only), [build.steps, index, only]);
  const rows = rowCount(all);
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ scroll: 0, height: 600 });
  const [follow, setFollow] = useState(build.row.status === "running" && !query.line);
  const map = useMemo(() => geometry(rows, view.height), [rows, view.height]);
  const search = query.find ?? "";
  const found = useApi<LogMatches>(
    search ? `${buildPath(reference, "log", "search")}?${new URLSearchParams({ text: search })}` : null,
  );
  const matches = useMemo(
    () => (found.data?.matches ?? []).map((m) => rowOf(all, m.step, m.line)).filter((row) => row >= 0),
    [found.data, all],
  );
  const lines = useLines(reference);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const measure = () => setView((old) => ({ ...old, height: element.clientHeight }));
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, [rows > 0]);

  const show = useCallback(
    (row: number) => {
      const element = box.current;
      if (element) element.scrollTop = map.scroll(Math.max(0, row - 4));
    },
    [map],
  );

  const target = query.line && chosen ? rowOf(all, chosen.digest, Number(query.line) - 1) : -1;
  const first = chosen && !query.line ? (all.find((b) => b.step === chosen)?.row ?? -1) : target;
  const shown = useRef("");
  useEffect(() => {
    const wanted = `${query.step}:${query.line}`;
    if (first >= 0 && shown.current !== wanted) {
      shown.current = wanted;
      show(first);
    }
  }, [first, query.step, query.line, show]);
  useEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [follow, rows]);

  const [match, setMatch] = useState(0);
  useEffect(() => {
    setMatch(0);
    if (matches[0] !== undefined) show(matches[0]);
  }, [matches]);
  const move = (by: number) => {
    if (!matches.length) return;
    const next = (match + by + matches.length) % matches.length;
    setMatch(next);
    show(matches[next]!);
  };

  const { row: top, offset } = map.top(view.scroll);
  const begin = Math.max(0, top - OVER);
  const end = Math.min(rows, top + Math.ceil(view.height / ROW) + OVER);
  const visible = [];
  for (let number = begin; number < end; number += 1) {
    const row = rowAt(all, number);
    if (!row) continue;
    const place = { transform: `translateY(${(number - top) * ROW - offset}px)` };
    if (row.line < 0) {
      visible.push(<HeaderRow key={`h${row.block.step.digest}`} step={row.block.step} reference={reference} place={place} now={now} />);
      continue;
    }
    const line = lines.at(row.block.step.digest, row.line);
    const hit = search && matches[match] === number;
    visible.push(
      <div key={`${row.block.step.number}:${row.line}`} class={`line${number === target ? " target" : ""}${hit ? " hit" : ""}${line?.stream === 2 ? " stderr" : ""}`} style={place}>
        <a class="number" tabIndex={-1} href={href(["builds", reference, "logs"], { ...query, step: row.block.step.number, line: row.line + 1 })} aria-label={`Line ${row.line + 1} of step ${row.block.step.number}`}>
          {row.line + 1}
        </a>
        <span class="time">{line ? line.time.toFixed(2) : ""}</span>
        {line ? <LogText text={line.text} wanted={search.toLowerCase()} /> : <span class="text quiet">…</span>}
      </div>,
    );
  }

  const set = (changes: Record<string, string | undefined>) =>
    go(href(["builds", reference, "logs"], { ...query, ...changes }), true);
  return (
    <div class="logview">
      <div class="toolbar">
        <label>
          <span class="label">Step</span>
          <select value={chosen?.number ?? ""} onChange={(event) => set({ step: event.currentTarget.value, line: undefined, only: event.currentTarget.value ? query.only : undefined })}>
            <option value="">all steps</option>
            {build.steps
              .filter((step) => step.logLines || step === chosen)
              .map((step) => (
                <option key={step.digest} value={step.number}>
                  {step.number}. {step.name.slice(0, 90)}
                </option>
              ))}
          </select>
        </label>
        {chosen && (
          <label class="check">
            <input type="checkbox" checked={Boolean(only)} onChange={(event) => set({ only: event.currentTarget.checked ? "1" : undefined })} /> only this step
          </label>
        )}
        <form
          class="search"
          role="search"
          onSubmit={(event) => {
            event.preventDefault();
            const text = new FormData(event.currentTarget).get("find") as string;
            if (text === search) move(1);
            else set({ find: text, line: undefined });
          }}
        >
          <input key={search} name="find" type="search" placeholder="Search the log" aria-label="Search the log" defaultValue={search} />
          {search && (
            <>
              <span class="quiet count" role="status">
                {found.data ? (matches.length ? `${match + 1} of ${matches.length}${found.data.more ? "+" : ""}` : "no match") : "…"}
              </span>
              <button type="button" onClick={() => move(-1)} aria-label="Previous match">
                ↑
              </button>
              <button type="button" onClick={() => move(1)} aria-label="Next match">
                ↓
              </button>
            </>
          )}
        </form>
        <span class="spacer" />
        {build.row.status === "running" && (
          <label class="check">
            <input type="checkbox" checked={follow} onChange={(event) => setFollow(event.currentTarget.checked)} /> follow
          </label>
        )}
        {!isReport && chosen && (
          <a href={`${buildPath(reference, "log", "text")}?step=${encodeURIComponent(chosen.digest)}`} target="_blank" rel="noreferrer">
            plain text
          </a>
        )}
      </div>
      {found.error && <Failure error={found.error} />}
      {rows === 0 ? (
        <Empty>{build.complete ? "No step of this build printed anything." : "No step has printed anything yet."}</Empty>
      ) : (
        <div
          class="log"
          ref={box}
          tabIndex={0}
          role="region"
          aria-label="Log"
          onScroll={(event) => {
            const element = event.currentTarget;
            setView({ scroll: element.scrollTop, height: element.clientHeight });
            if (follow && element.scrollHeight - element.scrollTop - element.clientHeight > 40) setFollow(false);
          }}
        >
          <div class="window" style={{ height: `${view.height}px` }}>
            {visible}
          </div>
          <div class="sizer" style={{ height: `${Math.max(0, map.height - view.height)}px` }} />
        </div>
      )}
    </div>
  );
}

function HeaderRow({ step, reference, place, now }: { step: Step; reference: string; place: { transform: string }; now: number }) {
  return (
    <div class="line header" style={place}>
      <Mark state={step.state} />
      <a href={href(["builds", reference, "timeline"], { step: step.number })} tabIndex={-1}>
        {step.number}. {step.name}
      </a>
      <span class="quiet">{step.state === "cached" ? "cached" : duration(seconds(step, now))}</span>
    </div>
  );
}

export function stepOf(steps: Step[], number: string | undefined): Step | undefined {
  return number ? steps.find((step) => step.number === Number(number)) : undefined;
}

/** Pages of lines, which are requested when they are shown. */
function useLines(reference: string) {
  const [, setVersion] = useState(0);
  const pages = useRef(new Map<string, LogLine[]>());
  const waiting = useRef(new Set<string>());
  useEffect(() => {
    pages.current.clear();
    waiting.current.clear();
  }, [reference]);
  const load = (step: string, page: number) => {
    const key = `${page} ${step}`;
    if (waiting.current.has(key)) return;
    waiting.current.add(key);
    // A page is incomplete if the build runs, or if its lines are very long.
    const known = pages.current.get(key) ?? [];
    const query = new URLSearchParams({
      step,
      first: String(page * PAGE + known.length),
      count: String(PAGE - known.length),
    });
    get<LogPage>(`${buildPath(reference, "log", "lines")}?${query}`)
      .then((answer) => {
        if (!answer.lines.length) return;
        pages.current.set(key, [...known, ...answer.lines]);
        if (pages.current.size > MOST_PAGES) pages.current.delete(pages.current.keys().next().value!);
        setVersion((n) => n + 1);
      })
      .catch(() => undefined) // it is requested again when the line is shown again
      .finally(() => waiting.current.delete(key));
  };
  return {
    at(step: string, line: number): LogLine | undefined {
      const page = Math.floor(line / PAGE);
      const found = pages.current.get(`${page} ${step}`)?.[line - page * PAGE];
      if (!found) load(step, page);
      return found;
    },
  };
}
