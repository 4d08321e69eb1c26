/** A flow: its last hour, what the last reload changed, its contract, and its rules in order with what they did. */
import { useRef } from "preact/hooks";
import { at, withQuery } from "../../api/client.ts";
import { counter, live, rate } from "../../api/live.ts";
import type { FlowChange, FlowDetail, History } from "../../api/types.ts";
import { href, route } from "../../app/route.ts";
import { html } from "../../html.ts";
import { ago, clock, count, exactly, perSecond, plural } from "../../parts/format.ts";
import { Failure, Loading } from "../../parts/notes.ts";
import { Text } from "../../parts/payload.ts";
import { State } from "../../parts/state.ts";
import { useGet } from "../../parts/use.ts";
import { stateOf } from "../streams/told.ts";
import { Charts } from "./charts.ts";
import { Contract, Otherwise } from "./contract.ts";
import { Rules, RuleDetail } from "./rules.ts";
import { SampleList } from "./samples.ts";

const EVERY_SECONDS = 3;
const MANY_RULES = 300;
const HISTORY_SECONDS = 10;

/** The page of one flow; `rule` in the query is the rule that is looked at. */
export function FlowPage({ name }: { name: string }) {
  const rules = useRef(0);
  const { data, error, again } = useGet<FlowDetail>(at`/api/flows/${name}`, {}, rules.current > MANY_RULES ? 15 : EVERY_SECONDS);
  const history = useGet<History>(withQuery("/api/history", { flow: name }), {}, HISTORY_SECONDS).data;
  if (!data) return error ? html`<${Failure} error=${error} again=${again} />` : html`<${Loading} />`;
  rules.current = data.detail.length;
  const chosen = route.value.query.get("rule");
  const rule = data.detail.find((known) => known.name === chosen);
  return html`<div class="flow-page"><${Head} flow=${data} />
    ${error ? html`<${Failure} error=${error} again=${again} />` : null}
    ${data.changed && html`<${Changed} changed=${data.changed} name=${name} />`}
    <${Charts} name=${name} flow=${data} history=${history} />
    <div class="flow-columns"><div class="flow-rules"><${Contract} flow=${data} />
        <${Rules} flow=${data} history=${history} chosen=${chosen} /><${Otherwise} flow=${data} /></div>
      <div class="flow-side">
        ${rule && html`<${RuleDetail} rule=${rule} flow=${data} history=${history} />`}
        <${SampleList} flow=${name} rule=${rule?.name ?? null} />
      </div></div></div>`;
}

function Head({ flow }: { flow: FlowDetail }) {
  const told = live.value;
  const [tone, word] = told ? stateOf("flow", flow.name, told) : (["good", "runs"] as const);
  const kept = told?.dead_letters.kept[flow.name] ?? 0;
  return html`<header class="page-head"><div><nav class="crumbs" aria-label="Where this is"><a href=${href([])}>‹ Streams</a></nav><h1><${Text} text=${flow.name} /></h1>
      <p class="none head-facts"><${State} tone=${tone}>${word}<//><code>${flow.file}</code><span>version <code>${flow.version}</code></span></p></div>
    <dl class="summary"><div><dt>now</dt><dd>${perSecond(rate(counter.flow(flow.name)))}</dd></div>
      <div><dt>records</dt><dd>${count(flow.records)}</dd></div><div><dt>dropped</dt><dd>${count(flow.dropped)}</dd></div>
      <div><dt>unmatched</dt><dd>${count(flow.unmatched)}</dd></div></dl>
    <p class="actions">${kept > 0 && html`<a class="button" href=${href(["dead-letters"], { flow: flow.name })}>${plural(kept, "dead letter")}</a>`}
      <a class="button primary" href=${href(["try", flow.name])}>Change and try</a></p></header>`;
}

function Changed({ changed, name }: { changed: FlowChange; name: string }) {
  const now = live.value?.time ?? Date.now() / 1000;
  const list = (word: string, names: readonly string[], gone = false) => names.length > 0 && html`<li>${word}
    ${names.slice(0, 12).map((rule, place) => html`${place ? ", " : " "}${gone ? html`<b><${Text} text=${rule} /></b>`
      : html`<a class="inline" href=${href(["flows", name], { rule })}><${Text} text=${rule} /></a>`}`)}
    ${names.length > 12 ? ` and ${names.length - 12} more` : ""}</li>`;
  return html`<section class="changed" aria-label="The last reload"><p>${changed.before === null ? "Came with a reload" : "Changed by a reload"}
      ${" "}<time title=${exactly(changed.at)}>${ago(changed.at, now)}, at ${clock(changed.at)}</time>${changed.before !== null
        ? html`: <code>${changed.before}</code> → <code>${changed.version}</code>` : null}</p>
    <ul>${list("Added", changed.added)}${list("Changed", changed.changed)}${list("Removed", changed.removed, true)}
      ${changed.parts.length > 0 && html`<li>Also changed: <code>${changed.parts.join(", ")}</code></li>`}</ul></section>`;
}
