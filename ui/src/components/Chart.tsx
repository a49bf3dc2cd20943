// A plot over time by uPlot. A table or a text next to it says the same to those who cannot see it.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { cssColor, useThemeVersion } from "../theme";

export interface Series {
  label: string;
  color: string; // the name of a colour of the style sheet
  values: (number | null)[];
  steps?: boolean;
  points?: boolean;
  fill?: boolean;
}

interface Props {
  label: string;
  times: number[];
  series: Series[];
  height: number;
  format: (value: number) => string;
  time?: boolean; // whether the x axis shows dates, else seconds from the first
  range?: [number, number];
  axisX?: boolean;
  gutter?: number;
  chosen?: (index: number) => void;
}

export function Chart(props: Props) {
  const { label, times, series, height, format, time = true, range, axisX = true, gutter = 56 } = props;
  const host = useRef<HTMLDivElement>(null);
  const chosen = useRef(props.chosen);
  chosen.current = props.chosen;
  const theme = useThemeVersion();
  useEffect(() => {
    const element = host.current;
    if (!element || times.length === 0) return;
    const axis = {
      stroke: cssColor("--quiet"),
      font: "11px system-ui, sans-serif",
      grid: { stroke: cssColor("--line"), width: 1 },
      ticks: { show: false },
    };
    const options: uPlot.Options = {
      width: element.clientWidth || 300,
      height,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      padding: [6, 0, axisX ? 0 : 4, 0],
      scales: { x: { time, ...(range ? { range: () => range } : {}) }, y: { range: (_, _min, max) => [0, max > 0 ? max * 1.08 : 1] } },
      axes: [
        { ...axis, show: axisX, size: 34, ...(time ? {} : { values: (_: uPlot, splits: number[]) => splits.map((v) => `${+v.toFixed(2)} s`) }) },
        { ...axis, size: gutter, values: (_: uPlot, splits: number[]) => splits.map(format) },
      ],
      series: [
        {},
        ...series.map((one): uPlot.Series => {
          const color = cssColor(one.color);
          return {
            label: one.label,
            stroke: color,
            width: 1.5,
            ...(one.fill ? { fill: cssColor(one.color, 0.14) } : {}),
            ...(one.steps ? { paths: uPlot.paths.stepped!({ align: 1 }) } : {}),
            points: { show: one.points ?? false, size: 5, fill: color, stroke: color },
          };
        }),
      ],
      hooks: {
        ready: [
          (plot) => {
            plot.over.addEventListener("click", () => {
              if (typeof plot.cursor.idx === "number") chosen.current?.(plot.cursor.idx);
            });
          },
        ],
      },
    };
    const plot = new uPlot(options, [times, ...series.map((one) => one.values)], element);
    const observer = new ResizeObserver(() => {
      if (element.clientWidth) plot.setSize({ width: element.clientWidth, height });
    });
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
    };
  }, [times, series, height, theme, time, range?.[0], range?.[1]]);
  return <div class={`chart${props.chosen ? " clickable" : ""}`} ref={host} role="img" aria-label={label} />;
}
