/** The rules of a flow, in the order in which records come to them, and one of them as it is written. */
import { useSignal } from "@preact/signals";
import { useRef } from "preact/hooks";
import type { FlowDetail, Gate, History, Rule, Target } from "../../api/types.ts";
import { href } from "../../app/route.ts";
import { html, type Child } from "../../html.ts";
import { Cel, Written } from "../../parts/cel.ts";
import { Chart } from "../../parts/chart.ts";
import { count, perSecond } from "../../parts/format.ts";
import { Names, Text } from "../../parts/payload.ts";
import { Sparkline } from "../../parts/sparkline.ts";
import { Sign } from "../../parts/state.ts";
import { useInView } from "../../parts/use.ts";

interface Given {
  flow: FlowDetail;
  history: History | null;
  chosen: string | null;
}

const SHOWN = 100;

export function Rules({ flow, history, chosen }: Given) {
  const sought = useSignal("");
  const most = useSignal(SHOWN);
  const rates = useRates(flow);
  const words = sought.value.toLowerCase();
  const found = flow.detail.filter((rule) => `${rule.name} ${rule.when ?? ""} ${rule.to.join(" ")}`.toLowerCase().includes(words));
  const changed = new Set([...(flow.changed?.added ?? []), ...(flow.changed?.changed ?? [])]);
  return html`<section aria-labelledby="rules"><header class="section-head"><h2 id="rules">Rules</h2>
      ${flow.detail.length > 8 && html`<input type="search" data-search placeholder="Search the rules" aria-label="Search the rules"
        value=${sought.value} onInput=${(event: Event) => (sought.value = (event.currentTarget as HTMLInputElement).value)} />`}</header>
    <ol class="rules">${found.slice(0, most.value).map((rule) => html`<${RuleRow} key=${rule.name} rule=${rule} number=${flow.detail.indexOf(rule) + 1}
      flow=${flow.name} isChosen=${rule.name === chosen} isNew=${changed.has(rule.name)} speed=${rates.get(rule.name) ?? null}
      values=${history?.flows[flow.name]?.rules?.[rule.name]?.records} />`)}</ol>
    ${!found.length && html`<p class="none">No rule has this in it.</p>`}
    ${found.length > most.value && html`<p class="actions"><button type="button" onClick=${() => (most.value += SHOWN)}>
      Show ${Math.min(SHOWN, found.length - most.value)} more of ${found.length - most.value}</button></p>`}
    ${history?.left_out.includes(flow.name) && html`<p class="none">There are too many rules in all to keep an hour of each of these.</p>`}</section>`;
}

interface Row {
  rule: Rule;
  number: number;
  flow: string;
  isChosen: boolean;
  isNew: boolean;
  speed: number | null;
  values: readonly (number | null)[] | undefined;
}

function RuleRow({ rule, number, flow, isChosen, isNew, speed, values }: Row) {
  return html`<li><a class="rule" href=${href(["flows", flow], { rule: isChosen ? null : rule.name })} aria-current=${isChosen ? "true" : null}>
    <span class="rule-number">${number}</span>
    <span class="rule-what"><span class="rule-name"><b><${Text} text=${rule.name} /></b>${isNew && html`<span class="tag">changed</span>`}
        ${rule.errors > 0 && html`<span class="state bad"><${Sign} tone="bad" />${count(rule.errors)} errors</span>`}</span>
      <span class="rule-when">${rule.when === null ? html`<span class="none">always</span>` : html`<${Cel} text=${rule.when} />`}</span>
      <span class="rule-to"><${Does} rule=${rule} /></span></span>
    <span class="rule-count"><b>${count(rule.records)}</b><span class="none">${perSecond(speed)}</span>
      ${values && html`<${Sparkline} values=${values} width=${84} height=${18} label="the last hour" />`}</span></a></li>`;
}

function sinkName(sink: string): string {
  return sink === "dead_letter" ? "dead letters" : sink;
}

/** In a few words, what a rule does with a record that it matches. */
function Does({ rule }: { rule: Rule }) {
  const parts: Child[] = [];
  if (rule.split) parts.push("splits");
  if (rule.emit !== null) parts.push("emits");
  const shaped = Object.keys(rule.set).length + rule.unset.length;
  if (shaped) parts.push(Object.keys(rule.set).length ? html`sets <${Names} of=${Object.keys(rule.set)} />` : html`unsets <${Names} of=${rule.unset} />`);
  for (const gate of rule.gates) parts.push(gate.kind);
  if (rule.to.length) parts.push(html`<span class="to">→ <${Names} of=${rule.to.map(sinkName)} /></span>`);
  if (rule.continues) parts.push("continues");
  if (!rule.to.length) parts.push("goes on");
  return html`${parts.map((part, place) => html`${place ? " · " : ""}${part}`)}`;
}

/** Records a second by rule, from one answer to the next. */
function useRates(flow: FlowDetail): Map<string, number> {
  const last = useRef<{ flow: FlowDetail; at: number; rates: Map<string, number> }>({ flow, at: performance.now(), rates: new Map() });
  if (last.current.flow !== flow) {
    const [before, seconds] = [last.current.flow, (performance.now() - last.current.at) / 1000];
    const counted = new Map(before.detail.map((rule) => [rule.name, rule.records]));
    const rates = new Map<string, number>();
    for (const rule of flow.detail) {
      const from = counted.get(rule.name);
      if (from !== undefined && seconds > 0.2) rates.set(rule.name, Math.max(0, rule.records - from) / seconds);
    }
    last.current = { flow, at: performance.now(), rates };
  }
  return last.current.rates;
}

/** One rule, as it is written, with all that was counted of it. */
export function RuleDetail({ rule, flow, history }: { rule: Rule; flow: FlowDetail; history: History | null }) {
  const own = history?.flows[flow.name]?.rules?.[rule.name];
  const section = useInView<HTMLElement>(rule.name);
  return html`<section class="panel rule-detail" ref=${section} aria-label=${`Rule ${rule.name}`}><header class="section-head"><div><span class="eyebrow">rule · ${rule.place}</span>
      <h2><${Text} text=${rule.name} /></h2></div><a class="button quiet" href=${href(["flows", flow.name])} aria-label="Close the rule">✕</a></header>
    ${rule.when !== null && html`<div class="written"><span class="label">when</span><${Cel} text=${rule.when} /></div>`}
    ${rule.split && html`<div class="written"><span class="label">split</span><span><${Cel} text=${rule.split.each} /> as <code><${Text} text=${rule.split.name} /></code></span></div>`}
    ${rule.expect.map((check) => html`<div class="written"><span class="label">expect</span><span><b><${Text} text=${check.name} /></b>
      ${" "}<${Cel} text=${check.expression} /> <span class=${check.violations ? "word warn" : "none"}>${count(check.violations)} broke it</span></span></div>`)}
    <${Shape} shape=${rule} />
    ${rule.gates.map((gate) => html`<${GateOf} gate=${gate} />`)}
    ${rule.targets.map((target) => html`<div class="target"><p>→ <b><${Text} text=${sinkName(target.sink)} /></b></p>
      ${Object.entries(target.settings).map(([name, value]) => html`<div class="written"><span class="label">${name}</span><${Written} value=${value} /></div>`)}
      <${Shape} shape=${target} /></div>`)}
    <p class="none">${count(rule.records)} records · ${count(rule.errors)} errors${rule.dropped ? ` · ${count(rule.dropped)} dropped` : ""}
      ${rule.continues ? " · later rules see the record, too" : ""}</p>
    ${own && history && history.times.length > 1 && html`<${Chart} title="Matched" times=${history.times} format=${perSecond} height=${110} series=${[
      { title: "records", values: own.records }, ...(rule.errors ? [{ title: "errors", values: own.errors, tone: "bad" as const }] : []),
    ]} />`}</section>`;
}

function Shape({ shape }: { shape: Pick<Target, "set" | "unset" | "emit"> }) {
  return html`${Object.entries(shape.set).map(([path, value]) => html`<div class="written"><span class="label">set</span>
      <span><code><${Text} text=${path} /></code> = <${Written} value=${value} /></span></div>`)}
    ${shape.unset.map((path) => html`<div class="written"><span class="label">unset</span><code><${Text} text=${path} /></code></div>`)}
    ${shape.emit !== null && html`<div class="written"><span class="label">emit</span><${Written} value=${shape.emit} /></div>`}`;
}

function GateOf({ gate }: { gate: Gate }) {
  const settings = Object.entries(gate.settings).map(([name, value]) => `${name} ${JSON.stringify(value)}`);
  const told = Object.entries(gate.records).map(([name, many]) => `${count(many)} ${name.replaceAll("_", " ")}`);
  return html`<div class="written"><span class="label">${gate.kind}</span><span>${gate.key !== null && html`<${Cel} text=${gate.key} /> `}
    <code>${settings.join(", ")}</code> <span class="none">${told.join(", ")}</span></span></div>`;
}
