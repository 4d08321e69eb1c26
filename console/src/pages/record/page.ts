/** A record: what came, why it went where it went, what left, and how long it took. */
import { ApiError, at } from "../../api/client.ts";
import type { Explanation as Told, Raw, Sample, SampleEnd } from "../../api/types.ts";
import { href } from "../../app/route.ts";
import { html } from "../../html.ts";
import { Explanation } from "../../parts/explanation.ts";
import { bytes, clock, duration, endNames, exactly } from "../../parts/format.ts";
import { laidOut } from "../../parts/json_text.ts";
import { Empty, Failure, Loading } from "../../parts/notes.ts";
import { Payload, Text, Value } from "../../parts/payload.ts";
import { Sign } from "../../parts/state.ts";
import { useGet } from "../../parts/use.ts";

export function RecordPage({ flow, id }: { flow: string; id: string }) {
  const { data, error, again } = useGet<Sample>(at`/api/flows/${flow}/samples/${id}`);
  if (!data && error instanceof ApiError && error.status === 404) return html`<${Gone} flow=${flow} />`;
  if (!data) return error ? html`<${Failure} error=${error} again=${again} />` : html`<${Loading} />`;
  const isOld = data.decided_by !== data.runs;
  return html`<div class="record"><header class="page-head"><div><nav class="crumbs" aria-label="Where this is">
        <a href=${href(["flows", flow])}>‹ Flow <${Text} text=${flow} /></a></nav><h1>A record of <${Text} text=${data.source} /></h1>
      <p class="none">${bytes(data.size)} · decided by version <code>${data.decided_by}</code></p></div><${Times} of=${data} /></header>
    ${isOld && html`<p class="because"><b>The rules have changed since.</b> Why it goes where it goes is told by those that run now,
      version <code>${data.runs}</code>; where it went is what those of then decided.</p>`}
    <div class="record-columns"><div class="record-what"><${Came} of=${data} /><${Left} ends=${data.ends} settled=${data.settled} flow=${flow} /></div>
      <${Why} told=${data.explanation} flow=${flow} isOld=${isOld} /></div></div>`;
}

function Gone({ flow }: { flow: string }) {
  return html`<${Empty} isPage title="This record is not kept any more"><p>Of each flow some records are kept in memory, the last ones.</p>
    <p><a class="button" href=${href(["flows", flow])}>Newer ones of <${Text} text=${flow} /></a></p><//>`;
}

/** Read, decided, settled: when, and how long each took. */
function Times({ of }: { of: Sample }) {
  return html`<ol class="times"><li><span>read</span><time title=${exactly(of.read)}>${clock(of.read, true)}</time></li>
    <li><i>${duration(Math.max(0, of.time - of.read))}</i><span>decided</span><time title=${exactly(of.time)}>${clock(of.time, true)}</time></li>
    <li>${of.settled === null ? html`<i>…</i><span>not settled yet</span>`
      : html`<i>${duration(Math.max(0, of.settled - of.time))}</i><span>settled</span><time title=${exactly(of.settled)}>${clock(of.settled, true)}</time>`}</li></ol>`;
}

function Came({ of }: { of: Sample }) {
  const meta = Object.entries(of.meta).filter(([name]) => name !== "source" && name !== "raw");
  const isEvent = of.event !== null && of.event !== undefined;
  return html`<section class="panel" aria-labelledby="came"><h2 id="came">What came</h2>
    ${isEvent ? html`<${Payload} json=${of.event} label="The event" />`
      : html`<${Payload} raw=${of.value} label="The payload" none=${`${bytes(of.size)} that are not kept, or not shown`} />`}
    ${meta.length > 0 && html`<dl class="facts meta">${meta.map(([name, value]) => html`<div><dt><${Text} text=${name} /></dt><dd><${Value} value=${value} longest=${400} /></dd></div>`)}</dl>`}
  </section>`;
}

function Left({ ends, settled, flow }: { ends: readonly SampleEnd[]; settled: number | null; flow: string }) {
  const names = endNames(ends);
  return html`<section class="panel" aria-labelledby="left"><h2 id="left">What left</h2>
    <ul class="ends">${ends.map((end, place) => html`<${EndOf} end=${end} name=${names[place]} flow=${flow} />`)}</ul>
    ${settled === null && html`<p class="none">Not all of what was read with it is settled yet.</p>`}</section>`;
}

const BECAME: Partial<Record<SampleEnd["became"], string>> = {
  under_way: "under way",
  buffered: "delivered, or in its disk buffer",
  delivered: "delivered",
};

function EndOf({ end, name, flow }: { end: SampleEnd; name: string; flow: string }) {
  const isToSink = end.to !== "dead_letter" && end.to !== "drop";
  const isLetter = end.became === "dead_letter";
  const tone = isLetter ? "bad" : !isToSink ? "none" : end.became === "under_way" ? "busy" : "good";
  const what = isToSink ? end.to : isLetter ? "dead letter" : "dropped";
  const letters = href(["dead-letters"], isToSink ? { flow, sink: end.to } : { flow });
  const settings = Object.entries(end.settings);
  return html`<li><p class="end-head"><${Sign} tone=${tone} /><b>${isToSink ? html`<a href=${href([], { at: `sink/${end.to}` })}>→ <${Text} text=${what} /></a>` : what}</b>
      ${end.rule ? html`<span class="none">by <${Text} text=${end.rule} /></span>` : null}
      ${isToSink && isLetter ? html`<span class="word bad">dead letter</span>` : BECAME[end.became] ? html`<span class="none">${BECAME[end.became]}</span>` : null}${end.reason && html`<span class="word bad">${end.reason.replaceAll("_", " ")}</span>`}</p>
    ${end.detail && html`<p class="why"><${Text} text=${end.detail} longest=${2000} /></p>`}
    ${isLetter && html`<p><a href=${letters}>${isToSink ? `Dead letters of ${flow} to ${end.to}` : `Dead letters of ${flow}`}</a></p>`}
    ${settings.map(([name, value]) => html`<div class="setting"><span class="label">${name}</span><${Value} value=${value} longest=${300} /></div>`)}
    ${isToSink && (end.changed ? html`<${Payload} ...${shown(end.out)} label=${`What ${isLetter ? "was to go" : "went"} out to ${name}`} none="changed, and not shown" />`
      : html`<p class="none">as it came</p>`)}</li>`;
}

/** A payload that went out: set out where it is JSON. */
function shown(out: SampleEnd["out"]): { raw: Raw | null; isJson: boolean } {
  const laid = typeof out === "string" ? laidOut(out) : null;
  return { raw: laid ?? out ?? null, isJson: laid !== null };
}

function Why({ told, flow, isOld }: { told: Told | null; flow: string; isOld: boolean }) {
  return html`<section class="panel" aria-labelledby="why"><h2 id="why">${isOld ? "What the rules of now do with it" : "Why"}</h2>
    ${told ? html`<${Explanation} told=${told} ends=${isOld} link=${(rule: string) => href(["flows", flow], { rule })} />`
      : html`<p class="none">It is too long to be kept, so nothing can be said.</p>`}</section>`;
}
