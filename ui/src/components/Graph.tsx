// The graph of a build's steps, which can be moved and zoomed.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Build, Step } from "../documents";
import { duration } from "../format";
import { layoutGraph, NODE_HEIGHT, NODE_WIDTH } from "../graphlayout";
import { criticalPath, seconds } from "../steps";
import { Empty } from "./Basics";
import { MarkShape, stateWord, tone } from "./Mark";

interface View {
  x: number;
  y: number;
  scale: number;
}

interface Props {
  build: Build;
  now: number;
  selected: Step | undefined;
  select: (step: Step) => void;
}

export function Graph({ build, now, selected, select }: Props) {
  const shape = build.steps.map((step) => step.digest + step.inputs.length).join();
  const layout = useMemo(() => layoutGraph(build.steps), [shape]);
  const steps = useMemo(() => new Map(build.steps.map((step) => [step.digest, step])), [build]);
  const critical = useMemo(() => criticalPath(build.steps, now), [build, now]);
  const running = !build.complete;
  const frame = useRef<SVGSVGElement>(null);
  const [view, setView] = useState<View>({ x: 0, y: 0, scale: 1 });
  const drag = useRef<{ x: number; y: number; view: View } | null>(null);

  const fit = () => {
    const element = frame.current;
    if (!element || !layout.width) return;
    const { clientWidth, clientHeight } = element;
    const scale = Math.min(1, clientWidth / layout.width, clientHeight / layout.height);
    const readable = Math.max(scale, layout.height > 4000 || layout.width > 8000 ? scale : 0.45);
    setView({
      scale: readable,
      x: Math.max(0, (clientWidth - layout.width * readable) / 2),
      y: Math.max(0, (clientHeight - layout.height * readable) / 2),
    });
  };
  useEffect(fit, [layout]);
  const zoom = (factor: number, x?: number, y?: number) => {
    const element = frame.current;
    if (!element) return;
    const cx = x ?? element.clientWidth / 2;
    const cy = y ?? element.clientHeight / 2;
    setView((old) => {
      const scale = Math.max(0.03, Math.min(3, old.scale * factor));
      const ratio = scale / old.scale;
      return { scale, x: cx - (cx - old.x) * ratio, y: cy - (cy - old.y) * ratio };
    });
  };
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    // Preact listens passively, and a passive listener cannot keep the page from scrolling.
    const wheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const box = element.getBoundingClientRect();
      zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
    };
    element.addEventListener("wheel", wheel, { passive: false });
    return () => element.removeEventListener("wheel", wheel);
  }, []);
  const reveal = (x: number, y: number) => {
    const element = frame.current;
    if (!element) return;
    setView((old) => {
      const left = x * old.scale + old.x;
      const top = y * old.scale + old.y;
      const inside = left > 0 && top > 0 && left + NODE_WIDTH * old.scale < element.clientWidth && top + NODE_HEIGHT * old.scale < element.clientHeight;
      if (inside) return old;
      return { ...old, x: element.clientWidth / 2 - x * old.scale - (NODE_WIDTH * old.scale) / 2, y: element.clientHeight / 2 - y * old.scale };
    });
  };
  const keys = (event: KeyboardEvent) => {
    const moves: Record<string, [number, number]> = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    const move = moves[event.key];
    if (move) setView((old) => ({ ...old, x: old.x + move[0], y: old.y + move[1] }));
    else if (event.key === "+") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key === "0") fit();
    else return;
    event.preventDefault();
  };
  // Moving and zooming must not compare the thousands of elements of a large graph.
  const content = useMemo(
    () => (
      <>
          {layout.groups.map((group, index) => (
            <g key={index}>
              <rect class="group" x={group.x} y={group.y} width={group.width} height={group.height} rx="5" />
              <text class="title" x={group.x + 9} y={group.y + 16}>
                {group.name}
              </text>
            </g>
          ))}
          <g class="edges" aria-hidden="true">
            {layout.edges.map((edge) => (
              <path
                key={`${edge.from}${edge.to}`}
                d={edge.path}
                class={`${critical.has(edge.from) && critical.has(edge.to) ? "critical" : ""}${selected && (edge.to === selected.digest || edge.from === selected.digest) ? " near" : ""}`}
              />
            ))}
          </g>
          {layout.groups.flatMap((group) =>
            group.steps.map((place) => {
              const step = steps.get(place.step.digest) ?? place.step;
              const time = step.state === "cached" ? "cached" : duration(seconds(step, now));
              return (
                <g
                  key={step.digest}
                  class={`node tone-${tone(step.state)}${step === selected ? " chosen" : ""}${critical.has(step.digest) ? " critical" : ""}`}
                  transform={`translate(${place.x} ${place.y})`}
                  tabIndex={0}
                  role="button"
                  aria-label={`Step ${step.number}, ${step.name}: ${stateWord(step.state)}, ${time}`}
                  aria-pressed={step === selected}
                  onFocus={() => reveal(place.x, place.y)}
                  onClick={() => select(step)}
                  onKeyDown={(event) => {
                    if (event.key !== "Enter" && event.key !== " ") return;
                    event.preventDefault();
                    select(step);
                  }}
                >
                  <rect class="face" width={NODE_WIDTH} height={NODE_HEIGHT - 3} rx="3" />
                  <svg x="4" y="3.5" width="14" height="14" viewBox="0 0 16 16" class={`mark tone-${tone(step.state)}`} aria-hidden="true">
                    <MarkShape state={step.state} />
                  </svg>
                  <text x="23" y="14.5">
                    {clip(step.text, 32 - time.length)}
                  </text>
                  <text class="time" x={NODE_WIDTH - 6} y="14.5">
                    {time}
                  </text>
                  <title>{`${step.number}. ${step.name}`}</title>
                </g>
              );
            }),
          )}
      </>
    ),
    [layout, steps, critical, selected, select, running ? now : 0],
  );
  if (!layout.groups.length) return <Empty>No steps yet.</Empty>;
  const small = view.scale < 0.4;
  return (
    <div class="graph">
      <div class="toolbar">
        <span class="quiet hint">Drag to move, Ctrl and the wheel to zoom; arrow keys, + and − do the same.</span>
        <span class="spacer" />
        <button type="button" onClick={() => zoom(0.8)} aria-label="Zoom out">
          −
        </button>
        <button type="button" onClick={() => zoom(1.25)} aria-label="Zoom in">
          +
        </button>
        <button type="button" onClick={fit}>
          Fit
        </button>
      </div>
      <svg
        ref={frame}
        class={small ? "small" : undefined}
        role="group"
        style={{ height: `clamp(240px, ${Math.round(layout.height + 30)}px, 72vh)` }}
        aria-label={`Graph of ${build.steps.length} steps`}
        onKeyDown={keys}
        onPointerDown={(event) => {
          drag.current = { x: event.clientX, y: event.clientY, view };
        }}
        onPointerMove={(event) => {
          const start = drag.current;
          if (!start) return;
          const [dx, dy] = [event.clientX - start.x, event.clientY - start.y];
          if (Math.abs(dx) + Math.abs(dy) < 4) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          setView({ ...start.view, x: start.view.x + dx, y: start.view.y + dy });
        }}
        onPointerUp={() => {
          drag.current = null;
        }}
        onPointerCancel={() => {
          drag.current = null;
        }}
      >
        <g transform={`translate(${view.x} ${view.y}) scale(${view.scale})`}>
          {content}
        </g>
      </svg>
    </div>
  );
}

function clip(text: string, most: number): string {
  const line = text.replace(/\s+/g, " ");
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}
