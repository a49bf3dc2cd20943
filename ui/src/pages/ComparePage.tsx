// Two builds side by side: what changed, and what it cost.
import { useEffect } from "preact/hooks";
import { useApi } from "../api";
import { Empty, Failure, Loading, Section } from "../components/Basics";
import { Mark } from "../components/Mark";
import type { Comparison } from "../documents";
import { duration, moment, shortDigest, size } from "../format";
import { go, href, type Address } from "../router";

type Pair = Comparison["steps"][number];
type Side = NonNullable<Pair["before"]>;

export function ComparePage({ address }: { address: Address }) {
  const [, before = "", after = ""] = address.path;
  const { data, error } = useApi<Comparison>(`/api/compare/${encodeURIComponent(before)}/${encodeURIComponent(after)}`);
  useEffect(() => {
    document.title = "Compare builds – lamina";
  }, []);
  if (error) return <Failure error={error} />;
  if (!data) return <Loading what="the comparison" />;
  const all = address.query.all === "1";
  const steps = all ? data.steps : data.steps.filter((pair) => pair.change !== "same" || cost(pair) !== 0);
  const total = data.after.seconds - data.before.seconds;
  return (
    <div class="compare">
      <div class="title">
        <h1>Compare builds</h1>
        <span class="spacer" />
        <a class="action" href={href(["compare", after, before])}>
          Swap
        </a>
      </div>
      <div class="sides">
        {[data.before, data.after].map((side, index) => (
          <div key={side.ref}>
            <span class="quiet">{index ? "after" : "before"}</span>
            <a href={href(["builds", side.ref])}>{side.name}</a> <code>{shortDigest(side.ref)}</code>
            <span class="quiet">
              {moment(side.started)} · {duration(side.seconds)}
            </span>
          </div>
        ))}
        <div>
          <span class="quiet">difference</span>
          <strong class={total > 0 ? "slower" : "faster"}>{difference(total)}</strong>
          <span class="quiet">{data.equal ? "equal inputs and outputs" : "the builds differ"}</span>
        </div>
      </div>
      {data.inputs.length > 0 && (
        <Section title="Inputs that changed">
          <table>
            <thead>
              <tr>
                <th>Input</th>
                <th>Before</th>
                <th>After</th>
              </tr>
            </thead>
            <tbody>
              {data.inputs.map((input) => (
                <tr key={input.name}>
                  <th scope="row">{input.name}</th>
                  <td>{input.before === null ? "–" : <pre class="value">{input.before}</pre>}</td>
                  <td>{input.after === null ? "–" : <pre class="value">{input.after}</pre>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Section>
      )}
      {data.files.length > 0 && (
        <Section title={`Files of the context that changed: ${data.fileCount}`}>
          <ul class="plain">
            {data.files.map((file) => (
              <li key={file.path}>
                <code>{file.path}</code> <span class="quiet">{file.change}</span>
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Section
        title="Steps"
        aside={
          <label class="check">
            <input type="checkbox" checked={all} onChange={(event) => go(href(address.path, { all: event.currentTarget.checked ? 1 : undefined }), true)} /> also equal steps
          </label>
        }
      >
        {steps.length ? (
          <table class="pairs">
            <thead>
              <tr>
                <th>Change</th>
                <th>Step</th>
                <th class="right">Before</th>
                <th class="right">After</th>
                <th class="right">Cost</th>
              </tr>
            </thead>
            <tbody>
              {steps.map((pair, index) => (
                <tr key={index} class={`change-${pair.change}`}>
                  <td>{pair.change}</td>
                  <td class="name">
                    <code>{(pair.after ?? pair.before)!.name}</code>
                    {pair.causes.map((cause) => (
                      <div key={cause} class="quiet">
                        {cause}
                      </div>
                    ))}
                  </td>
                  <td class="right">
                    <Time side={pair.before} />
                  </td>
                  <td class="right">
                    <Time side={pair.after} />
                  </td>
                  <td class={`right ${cost(pair) > 0 ? "slower" : "faster"}`}>{difference(cost(pair))}</td>
                </tr>
              ))}
            </tbody>
          </table>
        ) : (
          <Empty>All steps are equal, and took the same time.</Empty>
        )}
      </Section>
      <Section title="Outputs">
        <table>
          <thead>
            <tr>
              <th>Change</th>
              <th>Output</th>
              <th>Before</th>
              <th>After</th>
            </tr>
          </thead>
          <tbody>
            {data.outputs.map((pair, index) => (
              <tr key={index}>
                <td>{pair.change}</td>
                <td>{(pair.after ?? pair.before)!.name || (pair.after ?? pair.before)!.kind}</td>
                {[pair.before, pair.after].map((side, column) => (
                  <td key={column}>{side ? `${side.digest ? shortDigest(side.digest) : side.kind} ${side.size === null ? "" : size(side.size)}` : "–"}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </Section>
    </div>
  );
}

function Time({ side }: { side: Side | null }) {
  if (!side) return <span class="quiet">–</span>;
  if (side.cached) return <Mark state="cached" word />;
  if (!side.ran) return <span class="quiet">not run</span>;
  return side.error ? <Mark state="failed" word /> : <span>{duration(side.seconds)}</span>;
}

function cost(pair: Pair): number {
  const difference = (pair.after?.seconds ?? 0) - (pair.before?.seconds ?? 0);
  return Math.abs(difference) < 0.0005 ? 0 : difference;
}

function difference(seconds: number): string {
  if (seconds === 0) return "0";
  return `${seconds > 0 ? "+" : "−"}${duration(Math.abs(seconds))}`;
}
