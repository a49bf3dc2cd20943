// The steps of a build over time: a lane for each stage, and what they used below.
import { useMemo, useRef, useState } from "preact/hooks";
import type { Build, Step } from "../documents";
import { duration, size } from "../format";
import { criticalPath, curve, lanes, seconds, span, type Bar, type Point } from "../steps";
import { Chart, type Series } from "./Chart";
import { Mark, stateWord, tone } from "./Mark";
import { Empty } from "./Basics";

const ROW = 22;
const ZOOMS = [1, 2, 4, 8, 16, 32, 64];

interface Props {
  build: Build;
  now: number;
  selected: Step | undefined;
  select: (step: Step) => void;
}

export function Timeline({ build, now, selected, select }: Props) {
  const [zoom, setZoom] = useState(0);
  const scroller = useRef<HTMLDivElement>(null);
  const whole = useMemo(() => span(build.steps, now), [build, now]);
  const found = useMemo(() => lanes(build.steps, now), [build, now]);
  const critical = useMemo(() => criticalPath(build.steps, now), [build, now]);
  const width = whole.end - whole.start || 1e-3;
  const scale = ZOOMS[zoom]!;
  const setScale = (next: number) => {
    const element = scroller.current;
    const middle = element ? (element.scrollLeft + element.clientWidth / 2) / element.scrollWidth : 0.5;
    setZoom(Math.max(0, Math.min(ZOOMS.length - 1, next)));
    requestAnimationFrame(() => {
      if (element) element.scrollLeft = middle * element.scrollWidth - element.clientWidth / 2;
    });
  };
  if (!found.length) return <Empty>No step has started yet.</Empty>;
  const at = (time: number) => `${((time - whole.start) / width) * 100}%`;
  const ticks = timeTicks(width, 6 * scale);
  return (
    <div class="timeline">
      <div class="toolbar">
        <Legend />
        <span class="spacer" />
        <button type="button" onClick={() => setScale(zoom - 1)} disabled={zoom === 0} aria-label="Zoom out">
          −
        </button>
        <button type="button" onClick={() => setScale(zoom + 1)} disabled={zoom === ZOOMS.length - 1} aria-label="Zoom in">
          +
        </button>
        <button type="button" onClick={() => setScale(0)} disabled={zoom === 0}>
          Fit
        </button>
      </div>
      <div class="lanes">
        <div class="names" aria-hidden="true">
          <div class="axis" />
          {found.map((lane) => (
            <div key={lane.name} class="name" style={{ height: `${lane.rows.length * ROW + 6}px` }} title={lane.name}>
              <span>{lane.name}</span>
            </div>
          ))}
        </div>
        <div class="scroller" ref={scroller} tabIndex={0} role="region" aria-label="Timeline">
          <div class="canvas" style={{ width: `${scale * 100}%` }}>
            <div class="axis" aria-hidden="true">
              {ticks.map((tick) => (
                <span key={tick} style={{ left: `${(tick / width) * 100}%` }}>
                  {tick === 0 ? "0" : duration(tick)}
                </span>
              ))}
            </div>
            <div class="grid" aria-hidden="true">
              {ticks.map((tick) => (
                <i key={tick} style={{ left: `${(tick / width) * 100}%` }} />
              ))}
            </div>
            {found.map((lane) => (
              <div key={lane.name} class="lane" role="group" aria-label={lane.name} style={{ height: `${lane.rows.length * ROW + 6}px` }}>
                {lane.rows.flatMap((bars, row) =>
                  bars.map((bar) => (
                    <StepBar
                      key={bar.step.digest}
                      bar={bar}
                      top={row * ROW + 3}
                      left={at(bar.start)}
                      width={((bar.end - bar.start) / width) * 100}
                      waiting={(bar.waited / width) * 100}
                      critical={critical.has(bar.step.digest)}
                      chosen={selected === bar.step}
                      now={now}
                      select={select}
                    />
                  )),
                )}
              </div>
            ))}
            <Resources steps={build.steps} now={now} start={whole.start} end={whole.end} />
          </div>
        </div>
      </div>
    </div>
  );
}

interface BarProps {
  bar: Bar;
  top: number;
  left: string;
  width: number;
  waiting: number;
  critical: boolean;
  chosen: boolean;
  now: number;
  select: (step: Step) => void;
}

function StepBar({ bar, top, left, width, waiting, critical, chosen, now, select }: BarProps) {
  const { step } = bar;
  const time = step.state === "cached" ? "cached" : `${stateWord(step.state)}, ${duration(seconds(step, now))}`;
  const waited = bar.waited >= 0.01 ? `, waited ${duration(bar.waited)}` : "";
  return (
    <>
      {waiting > 0.05 && (
        <span class="wait" aria-hidden="true" style={{ top: `${top + 8}px`, left: `calc(${left} - ${waiting}%)`, width: `${waiting}%` }} />
      )}
      <button
        type="button"
        class={`bar tone-${tone(step.state)}${critical ? " critical" : ""}${chosen ? " chosen" : ""}`}
        style={{ top: `${top}px`, left, width: `max(4px, ${width}%)` }}
        title={`${step.number}. ${step.name}\n${time}${waited}`}
        aria-label={`Step ${step.number}, ${step.name}: ${time}${waited}`}
        aria-pressed={chosen}
        onClick={() => select(step)}
      >
        <span>{step.text}</span>
      </button>
    </>
  );
}

function Legend() {
  return (
    <div class="legend">
      {(["ran", "cached", "failed", "running"] as const).map((state) => (
        <Mark key={state} state={state} word />
      ))}
      <span class="key">
        <i class="critical" aria-hidden="true" /> critical path
      </span>
      <span class="key">
        <i class="wait" aria-hidden="true" /> ready, but waiting
      </span>
    </div>
  );
}

/** Round times for an axis, about `wanted` of them. */
export function timeTicks(width: number, wanted: number): number[] {
  const raw = width / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const unit = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= raw) ?? raw;
  const ticks = [];
  for (let tick = 0; tick < width * 0.985; tick += unit) ticks.push(Number(tick.toPrecision(12)));
  return ticks;
}

function Resources({ steps, now, start, end }: { steps: Step[]; now: number; start: number; end: number }) {
  const plots = useMemo(() => {
    const cpu = curve(steps, now, (step, time) => (step.usage?.cpu ? step.usage.cpu / time : null));
    const memory = curve(steps, now, (step) => step.usage?.memory ?? null);
    const parallel = curve(steps, now, (step) => (step.state === "cached" ? null : 1));
    return [
      { name: "CPU", label: "CPU cores in use over time, as the mean of each step", points: cpu, color: "--series-1", format: (value: number) => value.toFixed(1) },
      { name: "Memory", label: "Peak memory of the steps that run, over time", points: memory, color: "--series-2", format: size },
      { name: "Steps", label: "Number of steps that run, over time", points: parallel, color: "--series-3", format: (value: number) => String(Math.round(value)) },
    ].filter((plot) => plot.points.length > 1);
  }, [steps, now]);
  return (
    <div class="resources">
      {plots.map((plot) => (
        <Curve key={plot.name} {...plot} start={start} end={end} />
      ))}
    </div>
  );
}

function Curve({ name, label, points, color, format, start, end }: { name: string; label: string; points: Point[]; color: string; format: (value: number) => string; start: number; end: number }) {
  const { times, series, range, peak } = useMemo(() => {
    const all = [{ time: start, value: 0 }, ...points, { time: end, value: 0 }];
    const line: Series = { label: name, color, values: all.map((p) => p.value), steps: true, fill: true };
    return {
      times: all.map((p) => p.time - start),
      series: [line],
      range: [0, end - start] as [number, number],
      peak: Math.max(...points.map((p) => p.value)),
    };
  }, [points, start, end, color, name]);
  return (
    <figure class="curve">
      <figcaption>
        {name} <span class="quiet">peak {format(peak)}</span>
      </figcaption>
      <Chart label={`${label}; peak ${format(peak)}`} times={times} series={series} height={54} format={format} time={false} range={range} axisX={false} gutter={0} />
    </figure>
  );
}
