// The disk usage of the store, and what pruning removes.
import { useEffect, useMemo, useState } from "preact/hooks";
import { ApiError, post, useApi } from "../api";
import { Empty, Failure, Loading, Section } from "../components/Basics";
import { Chart, type Series } from "../components/Chart";
import type { Info, Pruned, StoreUsage } from "../documents";
import { ago, count, moment, size } from "../format";
import { go, href, type Address } from "../router";

type Record_ = StoreUsage["records"][number];

const KINDS: Record<string, string> = {
  regular: "Results of steps",
  internal: "Internal",
  frontend: "Frontends",
  "source.local": "Contexts",
  "exec.cachemount": "Cache mounts",
  "source.git.checkout": "Git repositories",
  "source.http": "Downloads",
  image: "Images",
};

export function StorePage({ address, info }: { address: Address; info: Info }) {
  const { query } = address;
  const filters = new URLSearchParams();
  if (query.type) filters.set("type", query.type);
  if (query.days) filters.set("unusedDays", query.days);
  const path = `/api/store?${filters}`;
  const { data, error, reload } = useApi<StoreUsage>(path);
  const [state, setState] = useState<{ asked: boolean; busy: boolean; done: Pruned | null; error: ApiError | null }>({ asked: false, busy: false, done: null, error: null });
  useEffect(() => {
    document.title = "Store – lamina";
  }, []);
  if (error) return <Failure error={error} />;
  if (!data) return <Loading what="the disk usage" />;
  const now = Date.now() / 1000;
  const kinds = byKind(data.records);
  const mounts = data.records.filter((record) => record.type === "exec.cachemount").sort((a, b) => b.size - a.size);
  const removed = data.records.filter((record) => record.removable).sort((a, b) => b.size - a.size);
  const set = (changes: Record<string, string>) => go(href(["store"], { ...query, ...changes }), true);
  const prune = async () => {
    setState({ asked: false, busy: true, done: null, error: null });
    try {
      const done = await post<Pruned>(`/api/store/prune?${filters}`);
      setState({ asked: false, busy: false, done, error: null });
    } catch (problem) {
      setState({ asked: false, busy: false, done: null, error: problem as ApiError });
    }
    reload();
  };
  return (
    <div class="store">
      <h1>Store</h1>
      <p class="quiet">{info.store}</p>
      <Section title={`Disk usage: ${size(data.size)}`}>
        {data.records.length ? (
          <>
            <div class="kinds">
              <div class="stack" aria-hidden="true">
                {kinds.map((kind, index) => (
                  <i key={kind.type} class={`kind-${index % 6}`} style={{ flexGrow: kind.size || 1 }} title={kind.label} />
                ))}
              </div>
              <table>
                <thead>
                  <tr>
                    <th>Kind</th>
                    <th class="right">Records</th>
                    <th class="right">Size</th>
                    <th class="right">Removable</th>
                  </tr>
                </thead>
                <tbody>
                  {kinds.map((kind, index) => (
                    <tr key={kind.type}>
                      <td>
                        <i class={`swatch kind-${index % 6}`} aria-hidden="true" /> {kind.label}
                      </td>
                      <td class="right">{kind.records.length}</td>
                      <td class="right">{size(kind.size)}</td>
                      <td class="right">{size(kind.records.filter((r) => r.removable).reduce((sum, r) => sum + r.size, 0))}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
            <Growth kinds={kinds} />
          </>
        ) : (
          <Empty>The store is empty.</Empty>
        )}
      </Section>
      <Section title="Cache mounts">
        {mounts.length ? (
          <table>
            <thead>
              <tr>
                <th>Mount</th>
                <th class="right">Size</th>
                <th class="right">Uses</th>
                <th class="right">Last used</th>
              </tr>
            </thead>
            <tbody>
              {mounts.map((mount) => (
                <tr key={mount.id}>
                  <td>{mount.description || mount.id}</td>
                  <td class="right">{size(mount.size)}</td>
                  <td class="right">{mount.count}</td>
                  <td class="right">{mount.used === null ? "never" : ago(mount.used, now)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        ) : (
          <Empty>No build has used a cache mount.</Empty>
        )}
      </Section>
      <Section title={`Pruning removes ${count(removed.length, "record")}, ${size(data.removable)}`}>
        <div class="toolbar">
          <label>
            <span class="label">Kind</span>
            <select value={query.type ?? ""} onChange={(event) => set({ type: event.currentTarget.value })}>
              <option value="">all</option>
              {kinds.map((kind) => (
                <option key={kind.type} value={kind.type}>
                  {kind.label}
                </option>
              ))}
            </select>
          </label>
          <label>
            <span class="label">Not used for</span>
            <select value={query.days ?? ""} onChange={(event) => set({ days: event.currentTarget.value })}>
              <option value="">any time</option>
              {["1", "7", "30", "90"].map((days) => (
                <option key={days} value={days}>
                  {days} {days === "1" ? "day" : "days"}
                </option>
              ))}
            </select>
          </label>
          <span class="spacer" />
          {!info.changes ? (
            <span class="quiet">Read-only. `lamina ui --allow-changes` can prune.</span>
          ) : state.asked ? (
            <>
              <span>Remove {size(data.removable)}?</span>
              <button type="button" class="danger" onClick={() => void prune()}>
                Remove
              </button>
              <button type="button" onClick={() => setState({ ...state, asked: false })}>
                Cancel
              </button>
            </>
          ) : (
            <button type="button" disabled={!removed.length || state.busy} onClick={() => setState({ ...state, asked: true })}>
              {state.busy ? "Removing …" : "Prune …"}
            </button>
          )}
        </div>
        {state.done && (
          <p class="notice" role="status">
            Removed {count(state.done.records, "record")}, which freed {size(state.done.bytes)}.
          </p>
        )}
        {state.error && <Failure error={state.error} />}
        {removed.length > 0 && (
          <table>
            <thead>
              <tr>
                <th>Kind</th>
                <th>Description</th>
                <th class="right">Size</th>
                <th class="right">Last used</th>
              </tr>
            </thead>
            <tbody>
              {removed.slice(0, 200).map((record) => (
                <tr key={record.type + record.id}>
                  <td>{KINDS[record.type] ?? record.type}</td>
                  <td class="name">{record.description || record.id}</td>
                  <td class="right">{size(record.size)}</td>
                  <td class="right" title={record.used === null ? "" : moment(record.used)}>
                    {record.used === null ? "never" : ago(record.used, now)}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
        {removed.length > 200 && <p class="quiet">… and {removed.length - 200} more</p>}
      </Section>
    </div>
  );
}

interface Kind {
  type: string;
  label: string;
  records: Record_[];
  size: number;
}

function byKind(records: Record_[]): Kind[] {
  const found = new Map<string, Kind>();
  for (const record of records) {
    let kind = found.get(record.type);
    if (!kind) found.set(record.type, (kind = { type: record.type, label: KINDS[record.type] ?? record.type, records: [], size: 0 }));
    kind.records.push(record);
    kind.size += record.size;
  }
  return [...found.values()].sort((a, b) => b.size - a.size);
}

/** The size of what is on disk now by the time when it was created. */
function Growth({ kinds }: { kinds: Kind[] }) {
  const { times, series } = useMemo(() => {
    const all = kinds.flatMap((kind) => kind.records);
    const times = [...new Set(all.map((record) => Math.floor(record.created)))].sort((a, b) => a - b);
    times.push(Math.floor(Date.now() / 1000));
    const series = kinds.slice(0, 4).map((kind, index): Series => {
      const records = [...kind.records].sort((a, b) => a.created - b.created);
      let next = 0;
      let sum = 0;
      const values = times.map((time) => {
        while (next < records.length && records[next]!.created < time + 1) sum += records[next++]!.size;
        return sum;
      });
      return { label: kind.label, color: `--kind-${index}`, values, steps: true };
    });
    return { times, series };
  }, [kinds]);
  if (times.length < 3) return null;
  return (
    <figure class="growth">
      <figcaption>
        What is on disk now, by the time when it was created{" "}
        {series.map((one, index) => (
          <span key={one.label} class="key">
            <i class={`swatch kind-${index}`} aria-hidden="true" /> {one.label}
          </span>
        ))}
      </figcaption>
      <Chart label="Size of what is on disk now by the time when it was created" times={times} series={series} height={130} format={size} gutter={64} />
    </figure>
  );
}
