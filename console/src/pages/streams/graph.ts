/** Where the sources, flows and sinks stand, and the lines between them: laid out anew only when these change. */
import { Graph as Layout, layout } from "@dagrejs/dagre";
import type { Live } from "../../api/types.ts";

export type Kind = "source" | "flow" | "sink" | "letters";

export interface Node {
  /** `sink/vip`. */
  id: string;
  kind: Kind;
  name: string;
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Edge {
  from: string;
  to: string;
  /** Of an SVG path. */
  path: string;
  /** Where its rate stands. */
  x: number;
  y: number;
  /** How far up and down it reaches. */
  top: number;
  bottom: number;
}

export interface Graph {
  nodes: Node[];
  edges: Edge[];
  width: number;
  height: number;
}

export const LETTERS = "letters/";
const SIZES: Record<Kind, [number, number]> = { source: [212, 78], flow: [224, 96], sink: [212, 78], letters: [212, 78] };
const RANKS: Record<Kind, number> = { source: 0, flow: 1, sink: 2, letters: 2 };
const MARGIN = 4;
const CLOSEST = 56;
const WIDEST = 210;
const MOST_LAID_OUT = 300;
const BETWEEN_NODES = 18;

/** What the graph is of: as long as this stays the same, so does the layout. */
export function shapeOf(told: Live): string {
  const flows = Object.entries(told.flows).map(([name, flow]) => [name, flow.sources, Object.keys(flow.to ?? {})]);
  return JSON.stringify([Object.keys(told.sources), flows, Object.keys(told.sinks), hasLetters(told)]);
}

function hasLetters(told: Live): string[] {
  return Object.keys(told.flows).filter((name) => told.dead_letters.kept[name]);
}

/** The layout, in about so many pixels across. */
export function graphOf(told: Live, across: number): Graph {
  const columns = SIZES.source[0] + SIZES.flow[0] + SIZES.sink[0];
  const between = Math.max(CLOSEST, Math.min(WIDEST, Math.floor((across - columns) / 2) - 3 * MARGIN));
  const graph = new Layout();
  graph.setGraph({ rankdir: "LR", ranksep: between, nodesep: BETWEEN_NODES, marginx: MARGIN, marginy: MARGIN });
  graph.setDefaultEdgeLabel(() => ({}));
  const put = (kind: Kind, name: string) => {
    const [width, height] = SIZES[kind];
    graph.setNode(`${kind}/${name}`, { width, height, kind, name });
  };
  const letters = hasLetters(told);
  for (const name of Object.keys(told.sources)) put("source", name);
  for (const name of Object.keys(told.flows)) put("flow", name);
  for (const name of Object.keys(told.sinks)) put("sink", name);
  if (letters.length) put("letters", "");
  for (const [name, flow] of Object.entries(told.flows)) {
    for (const source of flow.sources) if (source in told.sources) graph.setEdge(`source/${source}`, `flow/${name}`);
    for (const sink of Object.keys(flow.to ?? {})) if (sink in told.sinks) graph.setEdge(`flow/${name}`, `sink/${sink}`);
  }
  for (const name of letters) graph.setEdge(`flow/${name}`, LETTERS);
  if (graph.nodeCount() > MOST_LAID_OUT) stack(graph);
  else layout(graph);
  return drawn(graph, between);
}

/** Nodes one under the other in their columns, near to what they are tied to: for graphs that would take long. */
function stack(graph: Layout): void {
  const flows = graph.nodes().filter((id) => id.startsWith("flow/"));
  const order = new Map(flows.map((id, place) => [id, place]));
  const near = (id: string) => {
    const tied = [...(graph.neighbors(id) ?? [])].map((other) => order.get(other) ?? 0);
    return order.get(id) ?? tied.reduce((sum, place) => sum + place, 0) / Math.max(1, tied.length);
  };
  const ends = [0, 0, 0];
  for (const id of graph.nodes().toSorted((one, other) => near(one) - near(other))) {
    const node = graph.node(id) as unknown as Node;
    const column = RANKS[node.kind];
    node.y = (ends[column] ?? 0) + node.height / 2 + MARGIN;
    ends[column] = node.y + node.height / 2 + BETWEEN_NODES;
  }
}

function drawn(graph: Layout, between: number): Graph {
  const nodes = graph.nodes().map((id: string) => {
    const { y, width, height, kind, name } = graph.node(id) as unknown as Node;
    return { id, kind, name, x: column(kind, between), y: y - height / 2, width, height };
  });
  const by = new Map(nodes.map((node) => [node.id, node]));
  const edges = graph.edges().flatMap(({ v, w }) => {
    const [from, to] = [by.get(v), by.get(w)];
    return from && to ? [edge(from, to)] : [];
  });
  const width = Math.max(...nodes.map((node) => node.x + node.width)) + MARGIN;
  const height = Math.max(...nodes.map((node) => node.y + node.height)) + MARGIN;
  return { nodes, edges, width, height };
}

/** Left edges by kind: what nothing leads to stands in its column all the same. */
function column(kind: Kind, between: number): number {
  const widths = [SIZES.source[0], SIZES.flow[0]];
  return MARGIN + widths.slice(0, RANKS[kind]).reduce((sum, width) => sum + width + between, 0);
}

function edge(from: Node, to: Node): Edge {
  const [x1, y1] = [from.x + from.width, from.y + from.height / 2];
  const [x2, y2] = [to.x, to.y + to.height / 2];
  const middle = (x1 + x2) / 2;
  const path = `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
  return { from: from.id, to: to.id, path, x: x1 + (x2 - x1) * 0.64, y: y1 + (y2 - y1) * 0.73, top: Math.min(y1, y2), bottom: Math.max(y1, y2) };
}
