// The layout of the graph: stages are boxes that dagre places, steps are rows in them.
import dagre from "@dagrejs/dagre";
import type { Step } from "./documents";
import { groupOf, inputsOf } from "./steps";

export const NODE_WIDTH = 236;
export const NODE_HEIGHT = 24;
const HEADER = 24;
const PADDING = 6;
const TALLEST = 40; // rows of a column

export interface PlacedStep {
  step: Step;
  x: number;
  y: number;
}

export interface PlacedGroup {
  name: string;
  x: number;
  y: number;
  width: number;
  height: number;
  steps: PlacedStep[];
}

export interface PlacedEdge {
  from: string;
  to: string;
  path: string;
}

export interface Layout {
  width: number;
  height: number;
  groups: PlacedGroup[];
  edges: PlacedEdge[];
}

export function layoutGraph(steps: Step[]): Layout {
  const groups = groupSteps(steps);
  const inputs = inputsOf(steps);
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "LR", nodesep: 18, ranksep: 56, marginx: 12, marginy: 12, ranker: groups.size > 300 ? "longest-path" : "network-simplex" });
  graph.setDefaultEdgeLabel(() => ({}));
  const groupByStep = new Map<string, string>();
  for (const [name, members] of groups) {
    const columns = Math.ceil(members.length / TALLEST);
    const rows = Math.min(members.length, TALLEST);
    graph.setNode(name, {
      width: columns * (NODE_WIDTH + PADDING) + PADDING,
      height: rows * NODE_HEIGHT + HEADER + PADDING,
    });
    for (const step of members) groupByStep.set(step.digest, name);
  }
  for (const step of steps) {
    const to = groupByStep.get(step.digest);
    if (!to) continue;
    for (const input of inputs.get(step.digest) ?? []) {
      const from = groupByStep.get(input);
      if (from && from !== to) graph.setEdge(from, to);
    }
  }
  dagre.layout(graph);
  const places = new Map<string, PlacedStep>();
  const placed = [...groups].map(([name, members]): PlacedGroup => {
    const box = graph.node(name);
    const x = box.x - box.width / 2;
    const y = box.y - box.height / 2;
    const inside = members.map((step, index) => {
      const column = Math.floor(index / TALLEST);
      const place = {
        step,
        x: x + PADDING + column * (NODE_WIDTH + PADDING),
        y: y + HEADER + (index % TALLEST) * NODE_HEIGHT,
      };
      places.set(step.digest, place);
      return place;
    });
    return { name: labelOf(name), x, y, width: box.width, height: box.height, steps: inside };
  });
  const edges: PlacedEdge[] = [];
  for (const to of steps) {
    for (const input of new Set(inputs.get(to.digest))) {
      if (!places.has(input) || !places.has(to.digest)) continue;
      edges.push({ from: input, to: to.digest, path: edgePath(places.get(input)!, places.get(to.digest)!) });
    }
  }
  const { width = 0, height = 0 } = graph.graph();
  return { width, height, groups: placed, edges };
}

/** The steps by group. A source or an export that no stage has is a group of its own. */
function groupSteps(steps: Step[]): Map<string, Step[]> {
  const groups = new Map<string, Step[]>();
  const read = new Set(steps.flatMap((step) => step.inputs));
  for (const step of steps) {
    if (step.stage === "internal" && !read.has(step.digest)) continue; // it loads the Dockerfile
    const single = !step.stage || step.stage === "internal";
    const name = single ? `${groupOf(step)}\n${step.digest}` : groupOf(step);
    const members = groups.get(name);
    if (members) members.push(step);
    else groups.set(name, [step]);
  }
  for (const members of groups.values()) {
    members.sort((a, b) => positionOf(a) - positionOf(b));
  }
  return groups;
}

function positionOf(step: Step): number {
  return Number(step.position.split("/")[0] || 0);
}

function labelOf(name: string): string {
  return name.split("\n")[0]!;
}

function edgePath(from: PlacedStep, to: PlacedStep): string {
  if (Math.abs(from.x - to.x) < 1 && Math.abs(to.y - from.y - NODE_HEIGHT) < 1) {
    const x = from.x + 11;
    return `M${x} ${from.y + NODE_HEIGHT - 5}V${to.y + 5}`;
  }
  if (from.x === to.x) {
    const x = from.x + NODE_WIDTH;
    const [y1, y2] = [from.y + NODE_HEIGHT / 2, to.y + NODE_HEIGHT / 2];
    return `M${x} ${y1}C${x + 22} ${y1} ${x + 22} ${y2} ${x} ${y2}`;
  }
  const [x1, y1] = [from.x + NODE_WIDTH, from.y + NODE_HEIGHT / 2];
  const [x2, y2] = [to.x, to.y + NODE_HEIGHT / 2];
  const bend = Math.max(24, Math.abs(x2 - x1) / 2);
  return `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}
