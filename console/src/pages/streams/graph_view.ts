/** The graph, drawn: nodes that can be clicked over lines as wide as their rates are high. */
import { useSignal } from "@preact/signals";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { counter, minuteOf, rate } from "../../api/live.ts";
import type { Live } from "../../api/types.ts";
import { here, href } from "../../app/route.ts";
import { html } from "../../html.ts";
import { count, perSecond } from "../../parts/format.ts";
import { inertText } from "../../parts/inert.ts";
import { Text } from "../../parts/payload.ts";
import { Sparkline } from "../../parts/sparkline.ts";
import { Sign } from "../../parts/state.ts";
import { graphOf, LETTERS, shapeOf, type Edge, type Node } from "./graph.ts";
import { stateOf, toldOf } from "./told.ts";

const WINDOW_PIXELS = 400;

export function GraphView({ at, told }: { at: string | null; told: Live }) {
  const shape = shapeOf(told);
  const box = useRef<HTMLElement>(null);
  const across = useSignal(0);
  const seen = useSignal(0);
  useLayoutEffect(() => {
    const within = box.current;
    if (!within) return;
    const look = () => {
      across.value = within.clientWidth;
      seen.value = Math.floor(-within.getBoundingClientRect().top / WINDOW_PIXELS);
    };
    const watch = new ResizeObserver(look);
    watch.observe(within);
    addEventListener("scroll", look, { passive: true });
    return () => {
      watch.disconnect();
      removeEventListener("scroll", look);
    };
  }, []);
  const graph = useMemo(() => (across.value ? graphOf(told, across.value) : null), [shape, across.value]);
  if (!graph) return html`<section class="graph" ref=${box}></section>`;
  // Only what is in view is drawn, and a window more on both sides.
  const [top, bottom] = [(seen.value - 1) * WINDOW_PIXELS, (seen.value + 2) * WINDOW_PIXELS + innerHeight];
  const nodes = graph.nodes.filter((node) => node.y < bottom && node.y + node.height > top);
  const edges = graph.edges.filter((edge) => edge.top < bottom && edge.bottom > top);
  const size = { width: `${graph.width}px`, height: `${graph.height}px` };
  return html`<section class="graph" ref=${box} aria-label="Sources, flows and sinks" tabindex="0"><div class="graph-whole" style=${size}>
    <svg width=${graph.width} height=${graph.height} aria-hidden="true">
      ${edges.map((edge) => html`<${EdgeOf} key=${`${edge.from}>${edge.to}`} edge=${edge} at=${at} told=${told} />`)}</svg>
    ${edges.map((edge) => html`<${RateOf} key=${`${edge.from}>${edge.to}`} edge=${edge} />`)}
    ${nodes.map((node) => html`<${NodeOf} key=${node.id} node=${node} isAt=${node.id === at} told=${told} />`)}
  </div></section>`;
}

function NodeOf({ node, isAt, told }: { node: Node; isAt: boolean; told: Live }) {
  const { title, type, rate: speed, more, counters } = toldOf(node.kind, node.name, told);
  const [tone, word] = node.kind === "letters" ? (["warn", ""] as const) : stateOf(node.kind, node.name, told);
  const place = { left: `${node.x}px`, top: `${node.y}px`, width: `${node.width}px`, height: `${node.height}px` };
  const link = node.kind === "letters" ? href(["dead-letters"]) : here({ at: isAt ? null : node.id });
  return html`<a class="node ${node.kind} ${tone}" href=${link} style=${place} aria-current=${isAt ? "true" : null}
    title=${inertText(title)}>
    <span class="node-head"><span class="node-name"><${Text} text=${title} /></span><span class="node-type">${type}</span></span>
    <span class="node-rate"><b>${speed}</b>${counters && html`<${Sparkline} values=${minuteOf(counters)} width=${84} height=${20}
      label="the last minute" />`}</span>
    <span class="node-foot">${word && html`<span class="state ${tone}"><${Sign} tone=${tone} />${word}</span>`}
      <span class="node-more">${node.kind === "flow" ? flowMore(node.name, told) : more}</span></span></a>`;
}

function flowMore(name: string, told: Live): string {
  const dropped = told.flows[name]?.dropped;
  return dropped ? `${count(dropped)} dropped` : "";
}

function rateOf(edge: Edge): number | null {
  const name = edge.from.slice(edge.from.indexOf("/") + 1);
  if (edge.from.startsWith("source/")) return rate(counter.source(name));
  if (edge.to === LETTERS) return rate(counter.letters(name));
  return rate(counter.delivery(name, edge.to.slice("sink/".length)));
}

function EdgeOf({ edge, at, told }: { edge: Edge; at: string | null; told: Live }) {
  const speed = rateOf(edge);
  const width = speed ? Math.min(9, 1.5 + Math.log10(1 + speed) * 1.6) : 1.25;
  const [kind = "", name = ""] = edge.to === LETTERS ? [] : edge.to.split(/\/(.*)/s);
  const isBad = edge.to === LETTERS ? !!speed : stateOf(kind, name, told)[0] === "bad";
  const isNear = at === edge.from || at === edge.to;
  const tone = isBad ? "bad" : edge.to === LETTERS ? "letters" : "";
  return html`<path class="edge ${tone} ${speed ? "" : "still"} ${isNear ? "near" : ""}" d=${edge.path} stroke-width=${width} />`;
}

function RateOf({ edge }: { edge: Edge }) {
  const speed = rateOf(edge);
  if (edge.from.startsWith("source/") || !speed) return null;
  return html`<span class="edge-rate" style=${{ left: `${edge.x}px`, top: `${edge.y}px` }}>${perSecond(speed)}</span>`;
}
