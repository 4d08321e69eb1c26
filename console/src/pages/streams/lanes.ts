/** The same for narrow windows: flow by flow, with what it reads and where it delivers. */
import { useSignal } from "@preact/signals";
import { counter, rate } from "../../api/live.ts";
import type { Live } from "../../api/types.ts";
import { here } from "../../app/route.ts";
import { html } from "../../html.ts";
import { perSecond } from "../../parts/format.ts";
import { Text } from "../../parts/payload.ts";
import { State } from "../../parts/state.ts";
import { stateOf, toldOf } from "./told.ts";

const SHOWN = 30;

export function Lanes({ at, told }: { at: string | null; told: Live }) {
  const most = useSignal(SHOWN);
  const flows = Object.entries(told.flows);
  return html`<section class="lanes" aria-label="Flows">${flows.slice(0, most.value).map(
    ([name, flow]) => html`<article class="lane" key=${name}>
      ${flow.sources.map((source) => html`<${Row} kind="source" name=${source} at=${at} told=${told} />`)}
      <${Row} kind="flow" name=${name} at=${at} told=${told} />
      ${Object.keys(flow.to ?? {}).map((sink) => html`<${Row} kind="sink" name=${sink} at=${at} told=${told}
        speed=${perSecond(rate(counter.delivery(name, sink)))} />`)}</article>`,
  )}${flows.length > most.value && html`<button type="button" onClick=${() => (most.value += SHOWN)}>
    Show ${Math.min(SHOWN, flows.length - most.value)} more of ${flows.length - most.value}</button>`}</section>`;
}

interface Shown {
  kind: string;
  name: string;
  at: string | null;
  told: Live;
  speed?: string;
}

function Row({ kind, name, at, told, speed }: Shown) {
  const { rate: own, type, more } = toldOf(kind, name, told);
  const [tone, word] = stateOf(kind, name, told);
  const isAt = at === `${kind}/${name}`;
  return html`<a class="lane-row ${kind} ${tone}" href=${here({ at: isAt ? null : `${kind}/${name}` })} aria-current=${isAt ? "true" : null}>
    <span class="node-head"><span class="node-name"><${Text} text=${name} /></span><span class="node-type">${type}</span></span>
    <b>${speed ?? own}</b><${State} tone=${tone}>${word}<//><span class="node-more">${more}</span></a>`;
}
