// All builds: filters, trends and a table.
import { useEffect, useMemo } from "preact/hooks";
import { useApi, useEvents, useNow } from "../api";
import { Empty, Failure, Loading } from "../components/Basics";
import { Chart, type Series } from "../components/Chart";
import { Mark } from "../components/Mark";
import type { BuildRow, Builds } from "../documents";
import { ago, count, duration, moment, percent } from "../format";
import { go, href, type Address } from "../router";

const AGES: [string, string, number][] = [
  ["", "any time", Infinity],
  ["1h", "last hour", 3600],
  ["1d", "last day", 86400],
  ["7d", "last 7 days", 7 * 86400],
];
const SHOWN = 300;

export function BuildsPage({ address }: { address: Address }) {
  const { query } = address;
  const { data, error, reload } = useApi<Builds>("/api/builds");
  useEvents("/api/events", ["builds"], reload);
  const running = data?.builds.some((row) => row.status === "running") ?? false;
  const now = useNow(running);
  useEffect(() => {
    document.title = "Builds – lamina";
  }, []);
  const rows = useMemo(() => (data ? filtered(data.builds, query, Date.now() / 1000) : []), [data, query]);
  const targets = useMemo(() => [...new Set(data?.builds.map((row) => row.name) ?? [])].sort(), [data]);
  if (error) return <Failure error={error} />;
  if (!data) return <Loading what="builds" />;
  const set = (changes: Record<string, string>) => go(href(["builds"], { ...query, ...changes }), true);
  const base = query.compare;
  const limit = Number(query.show ?? SHOWN);
  return (
    <div class="builds">
      <h1 class="hidden">Builds</h1>
      {base && (
        <p class="notice">
          Choose a build to compare with <code>{base.slice(0, 12)}</code>. <a href={href(["builds"])}>Cancel</a>
        </p>
      )}
      <div class="toolbar filters" role="search">
        <input type="search" placeholder="Name, image, revision, context or ID" aria-label="Search builds" value={query.q ?? ""} onInput={(event) => set({ q: event.currentTarget.value })} />
        <label>
          <span class="label">Target</span>
          <select value={query.name ?? ""} onChange={(event) => set({ name: event.currentTarget.value })}>
            <option value="">all</option>
            {targets.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label>
          <span class="label">Outcome</span>
          <select value={query.status ?? ""} onChange={(event) => set({ status: event.currentTarget.value })}>
            <option value="">any</option>
            <option value="completed">completed</option>
            <option value="error">failed</option>
            <option value="canceled">canceled</option>
            <option value="running">running</option>
          </select>
        </label>
        <label>
          <span class="label">Started</span>
          <select value={query.age ?? ""} onChange={(event) => set({ age: event.currentTarget.value })}>
            {AGES.map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <span class="spacer" />
        <span class="quiet" role="status">
          {rows.length === data.total ? count(data.total, "build") : `${rows.length} of ${count(data.total, "build")}`}
        </span>
      </div>
      {rows.length > 1 && <Trends rows={rows} />}
      {data.total === 0 ? (
        <Empty>No build is recorded yet. Every `lamina build` leaves a record here.</Empty>
      ) : rows.length === 0 ? (
        <Empty>No build matches these filters.</Empty>
      ) : (
        <table class="list">
          <thead>
            <tr>
              <th>Outcome</th>
              <th>Name</th>
              <th class="wide">Images</th>
              <th class="wide">Revision</th>
              <th class="right">Cached</th>
              <th class="right">Duration</th>
              <th class="right">Started</th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, limit).map((row) => (
              <Line key={row.ref} row={row} now={now} base={base} />
            ))}
          </tbody>
        </table>
      )}
      {rows.length > limit && (
        <p>
          <button type="button" onClick={() => set({ show: String(limit + SHOWN) })}>
            Show more
          </button>
        </p>
      )}
    </div>
  );
}

function Line({ row, now, base }: { row: BuildRow; now: number; base: string | undefined }) {
  const comparable = row.status !== "running" && row.ref !== base;
  const to = base && comparable ? href(["compare", row.ref, base]) : href(["builds", row.ref]);
  return (
    <tr class={`tone-${row.status}`}>
      <td>
        <Mark state={row.status} word />
      </td>
      <td class="name">
        <a href={to}>{row.name || row.ref.slice(0, 12)}</a>
        {row.platform && <span class="quiet"> {row.platform}</span>}
        {row.error && <span class="error">{row.error}</span>}
      </td>
      <td class="wide">{row.images.join(", ") || <span class="quiet">–</span>}</td>
      <td class="wide">
        <code>{row.revision.slice(0, 10)}</code>
      </td>
      <td class="right">
        {row.steps.total ? (
          <>
            {row.steps.cached}/{row.steps.total} <span class="quiet">{percent(row.steps.cached, row.steps.total)}</span>
          </>
        ) : (
          <span class="quiet">–</span>
        )}
      </td>
      <td class="right">{duration((row.completed ?? now) - row.started)}</td>
      <td class="right" title={moment(row.started)}>
        {ago(row.started, Date.now() / 1000)}
      </td>
    </tr>
  );
}

export function filtered(rows: BuildRow[], query: Record<string, string>, now: number): BuildRow[] {
  const words = (query.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const age = AGES.find(([value]) => value === (query.age ?? ""))?.[2] ?? Infinity;
  return rows.filter((row) => {
    if (query.name && row.name !== query.name) return false;
    if (query.status && row.status !== query.status) return false;
    if (now - row.started > age) return false;
    if (!words.length) return true;
    const text = [row.ref, row.name, row.context, row.target, row.repository, row.revision, ...row.images].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function Trends({ rows }: { rows: BuildRow[] }) {
  const { times, durations, rates, ended } = useMemo(() => {
    const ended = rows.filter((row) => row.completed !== null && row.status !== "canceled").reverse();
    const seconds: Series = { label: "Duration", color: "--series-1", values: ended.map((row) => row.completed! - row.started), points: true };
    const rate: Series = { label: "Cached steps", color: "--series-2", values: ended.map((row) => (row.steps.total ? (row.steps.cached / row.steps.total) * 100 : null)), points: true };
    return { times: ended.map((row) => row.started), durations: [seconds], rates: [rate], ended };
  }, [rows]);
  if (ended.length < 2) return null;
  const open = (index: number) => go(href(["builds", ended[index]!.ref]));
  const last = ended[ended.length - 1]!;
  return (
    <div class="trends">
      <figure>
        <figcaption>
          Duration <span class="quiet">latest {duration(last.completed! - last.started)}</span>
        </figcaption>
        <Chart label={`Duration of ${ended.length} builds over time`} times={times} series={durations} height={124} format={duration} chosen={open} />
      </figure>
      <figure>
        <figcaption>
          Cached steps <span class="quiet">latest {percent(last.steps.cached, last.steps.total)}</span>
        </figcaption>
        <Chart label={`Share of cached steps of ${ended.length} builds over time`} times={times} series={rates} height={124} format={(value) => `${Math.round(value)} %`} chosen={open} />
      </figure>
    </div>
  );
}
