/** Streams: sources, flows and sinks as a graph, with rates, lag, queues and health. */
import { computed, signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { live } from "../../api/live.ts";
import { refine, route } from "../../app/route.ts";
import { useKeys } from "../../app/keys.ts";
import { html } from "../../html.ts";
import { clock, duration, perSecond, plural } from "../../parts/format.ts";
import { Empty, Loading } from "../../parts/notes.ts";
import { Text } from "../../parts/payload.ts";
import { Sign } from "../../parts/state.ts";
import { Detail } from "./detail.ts";
import { GraphView } from "./graph_view.ts";
import { Lanes } from "./lanes.ts";
import { matching } from "./matching.ts";
import { problems, type Problem } from "./problems.ts";
import { sumOfRates } from "./told.ts";

const narrow = matchMedia("(max-width: 760px)");
const isNarrow = signal(narrow.matches);
narrow.addEventListener("change", () => (isNarrow.value = narrow.matches));

const sought = computed(() => route.value.query.get("q") ?? "");
/** What is shown of the daemon: all of it, or the flows that have to do with what is sought. */
const shown = computed(() => live.value && matching(live.value, sought.value));
const at = computed(() => route.value.query.get("at"));

export function StreamsPage() {
  useKeys([{ keys: "Escape", does: "Close the details", run: () => refine({ at: null }, false) }]);
  const told = shown.value;
  if (!told) return html`<${Loading} what="Asking the daemon" />`;
  const isNothing = !Object.keys(told.flows).length;
  return html`<div class="streams ${at.value ? "with-detail" : ""}"><h1 class="hidden">Streams</h1>
    <${Summary} /><${Problems} found=${problems.value} />
    ${isNothing ? html`<${Nothing} />`
      : isNarrow.value ? html`<${Lanes} at=${at.value} told=${told} />` : html`<${GraphView} at=${at.value} told=${told} />`}
    ${at.value && html`<${Detail} at=${at.value} />`}</div>`;
}

function Nothing() {
  if (sought.value) return html`<${Empty} title="Nothing has this in its name" />`;
  return html`<${Empty} title="There are no flows"><p>The configuration has none yet.</p><//>`;
}

const MANY = 8;

function Search() {
  const told = live.value;
  const many = told ? Object.keys(told.flows).length + Object.keys(told.sinks).length + Object.keys(told.sources).length : 0;
  if (many < MANY && !sought.value) return null;
  return html`<input type="search" data-search placeholder="Search by name" aria-label="Search by name" value=${sought.value}
    onInput=${(event: Event) => refine({ q: (event.currentTarget as HTMLInputElement).value })} />`;
}

function Summary() {
  const told = live.value;
  if (!told) return null;
  const { sources, flows, sinks } = told;
  const [incoming, outgoing] = [sumOfRates("source", Object.keys(sources)), sumOfRates("sink", Object.keys(sinks))];
  const kept = Object.values(told.dead_letters.kept).reduce((sum, value) => sum + value, 0);
  return html`<div class="streams-head"><dl class="summary">
    <div><dt>in</dt><dd>${perSecond(incoming)}</dd></div><div><dt>out</dt><dd>${perSecond(outgoing)}</dd></div>
    <div><dt>dead letters</dt><dd>${kept.toLocaleString("en")}</dd></div>
    <div><dt>runs</dt><dd>${told.started ? html`<span title=${clock(told.started)}>${duration(told.time - told.started)}</span>` : "–"}</dd></div>
    <div class="wide"><dt>has</dt><dd>${plural(Object.keys(sources).length, "source")}, ${plural(Object.keys(flows).length, "flow")},
      ${" "}${plural(Object.keys(sinks).length, "sink")}</dd></div></dl><${Search} /></div>`;
}

const SHOWN = 6;
const MORE_SHOWN = 50;

function Problems({ found }: { found: readonly Problem[] }) {
  const [most, setMost] = useState(SHOWN);
  if (!found.length) return null;
  const left = found.length - most;
  return html`<section class="problems" aria-label="What to look at"><ul>${found.slice(0, most).map(
    (problem) => html`<li class=${problem.tone}><a href=${problem.link}><${Sign} tone=${problem.tone} />
      <b><${Text} text=${problem.what} /></b> <span class="why"><${Text} text=${problem.why} longest=${200} /></span></a></li>`,
  )}</ul>${left > 0 ? html`<p><button type="button" class="quiet" onClick=${() => setMost(most + MORE_SHOWN)}>
    Show ${Math.min(left, MORE_SHOWN)} more of ${left}</button></p>` : null}</section>`;
}
