/** One component: how it is and why, in numbers and in its own words. */
import { complain, say } from "../../parts/notes.ts";
import { at as path, post } from "../../api/client.ts";
import { counter, live, minuteOf, rate } from "../../api/live.ts";
import type { Flow, Live, Sink, Source } from "../../api/types.ts";
import { here, href } from "../../app/route.ts";
import { html, type Child } from "../../html.ts";
import { bytes, count, duration, exactly, perSecond, plural } from "../../parts/format.ts";
import { Text } from "../../parts/payload.ts";
import { Sparkline } from "../../parts/sparkline.ts";
import { Sign, State } from "../../parts/state.ts";
import { problemsOf } from "./problems.ts";
import { useGet, useInView } from "../../parts/use.ts";
import { stateOf } from "./told.ts";

export function Detail({ at }: { at: string }) {
  const told = live.value;
  const aside = useInView<HTMLElement>(at);
  const [kind = "", name = ""] = at.split(/\/(.*)/s);
  if (!told) return null;
  const source = kind === "source" ? told.sources[name] : undefined;
  const sink = kind === "sink" ? told.sinks[name] : undefined;
  const flow = kind === "flow" ? told.flows[name] : undefined;
  const [tone, word] = stateOf(kind, name, told);
  return html`<aside class="detail" ref=${aside} aria-label=${`${kind} ${name}`}><header>
      <div><span class="eyebrow">${kind}${source ?? sink ? ` · ${(source ?? sink)?.type}` : ""}</span>
        <h2><${Text} text=${name} /></h2></div>
      <a class="quiet button" href=${here({ at: null })} aria-label="Close the details">✕</a></header>
    ${source ?? sink ?? flow ? html`<p><${State} tone=${tone}>${word}<//>${sinceOf(source ?? sink, told)}</p>
      <${Why} of=${at} />
      ${source && html`<${OfSource} name=${name} source=${source} />`}
      ${sink && html`<${OfSink} name=${name} sink=${sink} told=${told} />`}
      ${flow && html`<${OfFlow} name=${name} flow=${flow} told=${told} />`}`
      : html`<p class="none">There is no such component any more.</p>`}</aside>`;
}

function sinceOf(component: Source | Sink | undefined, told: Live): Child {
  if (!component) return null;
  return html` <span class="none" title=${exactly(component.since)}>since ${duration(Math.round(told.time - component.since))}</span>`;
}

function Why({ of }: { of: string }) {
  return html`${problemsOf(of).map((problem) => html`<div class="because ${problem.tone}"><p><${Sign} tone=${problem.tone} />
    <b><${Text} text=${problem.what} /></b></p>${problem.why && html`<p class="why"><${Text} text=${problem.why} longest=${2000} /></p>`}</div>`)}`;
}

function Minute({ name, title }: { name: string; title: string }) {
  return html`<figure class="minute"><figcaption><span>${title}</span><b>${perSecond(rate(name))}</b></figcaption>
    <${Sparkline} values=${minuteOf(name)} width=${300} height=${48} label=${`${title}, the last minute`} /></figure>`;
}

function Facts({ facts }: { facts: readonly [string, Child][] }) {
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

function OfSource({ name, source }: { name: string; source: Source }) {
  const isPaused = source.state === "paused" || source.state === "pausing";
  async function turn(): Promise<void> {
    try {
      await post(isPaused ? path`/api/sources/${name}/resume` : path`/api/sources/${name}/pause`);
      say(isPaused ? `Source ${name} is read again` : `Source ${name} is paused`);
    } catch (error) {
      complain(error);
    }
  }
  return html`<${Minute} name=${counter.source(name)} title="read" />
    <${Facts} facts=${[
      ["records", count(source.records)], ["bytes", bytes(source.bytes)],
      ["unsettled", `${plural(source.unsettled.records, "record")} in ${plural(source.unsettled.batches, "batch", "batches")}`],
      ["read by", html`<a href=${href(["flows", source.flow])}><${Text} text=${source.flow} /></a>`],
    ]} />
    ${source.lag.length > 0 && html`<table class="small"><caption>Behind</caption>
      <thead><tr><th>partition</th><th class="number">records</th><th class="number">waits</th></tr></thead>
      <tbody>${source.lag.slice(0, 50).map((lag) => html`<tr><td><${Text} text=${lag.partition} /></td>
        <td class="number">${lag.records === null && lag.bytes !== null ? bytes(lag.bytes) : count(lag.records)}</td>
        <td class="number">${duration(lag.seconds)}</td></tr>`)}</tbody></table>`}
    ${!source.ended && html`<p class="actions"><button type="button" onClick=${turn}>${isPaused ? "Resume" : "Pause"}</button></p>`}`;
}

function OfSink({ name, sink, told }: { name: string; sink: Sink; told: Live }) {
  const flows = Object.entries(told.flows).filter(([, flow]) => flow.to && name in flow.to);
  const buffer = sink.buffer;
  return html`<${Minute} name=${counter.sink(name)} title="written" />
    <${Facts} facts=${[
      ["records", count(sink.records)], ["bytes", bytes(sink.bytes)],
      ["queue", `${plural(sink.queue.records, "record")}, ${bytes(sink.queue.bytes)}`],
      ["waiting for room", plural(sink.queue.waiting, "batch", "batches")],
      ...(buffer ? [["buffer", html`${plural(buffer.records, "record")}, ${bytes(buffer.bytes)} of ${bytes(buffer.limit)}`] as [string, Child]] : []),
      ["retries", `${count(sink.retries)}, ${count(sink.minute?.retries)} in a minute`],
      ["dead letters", html`<a href=${href(["dead-letters"], { sink: name })}>${count(sink.letters)}</a>, ${count(sink.minute?.letters)} in a minute`],
    ]} />
    ${(sink.letters ?? 0) > 0 && html`<${Refused} name=${name} />`}
    <table class="small"><caption>What is delivered to it</caption><thead><tr><th>flow</th><th class="number">now</th><th class="number">all</th></tr></thead>
      <tbody>${flows.map(([flow, { to }]) => html`<tr><td><a href=${href(["flows", flow])}><${Text} text=${flow} /></a></td>
        <td class="number">${perSecond(rate(counter.delivery(flow, name)))}</td><td class="number">${count(to?.[name])}</td></tr>`)}</tbody></table>
    ${(sink.letters ?? 0) > 0 && html`<p class="actions"><a class="button primary" href=${href(["dead-letters"], { sink: name })}>Its dead letters</a></p>`}`;
}

interface Group {
  flow: string;
  reason: string;
  detail: string;
  count: number;
}

/** Why a sink refuses: the reasons of its dead letters, in its own words. */
function Refused({ name }: { name: string }) {
  const { data } = useGet<{ groups: Group[] }>("/api/dead_letters/groups", { sink: name }, 5);
  return html`${(data?.groups ?? []).slice(0, 4).map((group) => html`<div class="because bad"><p><${Sign} tone="bad" />
    <b>${plural(group.count, "dead letter")}: ${group.reason.replaceAll("_", " ")}</b></p>
    ${group.detail && html`<p class="why"><${Text} text=${group.detail} longest=${600} /></p>`}</div>`)}`;
}

function OfFlow({ name, flow, told }: { name: string; flow: Flow; told: Live }) {
  const kept = told.dead_letters.kept[name] ?? 0;
  return html`<${Minute} name=${counter.flow(name)} title="decided about" />
    <${Facts} facts=${[
      ["records", count(flow.records)], ["rules", count(flow.rules)], ["rule errors", count(flow.rule_errors)],
      ["unmatched", count(flow.unmatched)], ["dropped", count(flow.dropped)],
      ["dead letters", html`<a href=${href(["dead-letters"], { flow: name })}>${count(kept)} kept</a>`],
      ["version", html`<code>${flow.version}</code>`],
    ]} />
    <table class="small"><caption>Where it delivers</caption><thead><tr><th>sink</th><th class="number">now</th><th class="number">all</th></tr></thead>
      <tbody>${Object.entries(flow.to ?? {}).map(([sink, all]) => html`<tr><td><a href=${href([], { at: `sink/${sink}` })}><${Text} text=${sink} /></a></td>
        <td class="number">${perSecond(rate(counter.delivery(name, sink)))}</td><td class="number">${count(all)}</td></tr>`)}</tbody></table>
    <p class="actions"><a class="button primary" href=${href(["flows", name])}>Its rules</a>
      ${kept > 0 && html`<a class="button" href=${href(["dead-letters"], { flow: name })}>Its dead letters</a>`}</p>`;
}

