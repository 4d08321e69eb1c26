/** Some of the records that went through a flow, or came to a rule, the newest first. */
import { useSignal } from "@preact/signals";
import { at } from "../../api/client.ts";
import type { Sampled, SampleEnd } from "../../api/types.ts";
import { href } from "../../app/route.ts";
import { html } from "../../html.ts";
import { bytes, clock } from "../../parts/format.ts";
import { Failure } from "../../parts/notes.ts";
import { Text, Value } from "../../parts/payload.ts";
import { useGet } from "../../parts/use.ts";
import { VirtualList } from "../../parts/virtual.ts";

const EVERY_SECONDS = 2;
const ROW_PIXELS = 46;
const HEIGHT_PIXELS = 414;

export function SampleList({ flow, rule }: { flow: string; rule: string | null }) {
  const follows = useSignal(true);
  const { data, error } = useGet<{ samples: Sampled[] }>(at`/api/flows/${flow}/samples`, { rule }, follows.value ? EVERY_SECONDS : 0);
  const samples = (data?.samples ?? []).toReversed();
  return html`<section class="panel" aria-labelledby="samples"><header class="section-head"><h2 id="samples">Sampled records</h2>
      <label class="check-label"><input type="checkbox" checked=${follows.value} onChange=${() => (follows.value = !follows.value)} /> follow</label></header>
    ${error ? html`<${Failure} error=${error} />` : null}
    ${data && !samples.length && html`<p class="none">${rule === null ? "None has come yet." : "None of the records that are kept came to this rule."}</p>`}
    ${samples.length > 0 && html`<${VirtualList} items=${samples} rowHeight=${ROW_PIXELS} height=${HEIGHT_PIXELS} label="Sampled records" class="samples"
      row=${(sampled: Sampled) => html`<${SampleRow} sampled=${sampled} />`} />`}</section>`;
}

function SampleRow({ sampled }: { sampled: Sampled }) {
  const link = href(["flows", sampled.flow, "samples", String(sampled.id)]);
  return html`<a class="sample" href=${link}><span class="sample-head"><time>${clock(sampled.time, true)}</time>
      <span class="none"><${Text} text=${sampled.source} longest=${40} /></span><span class="sample-ends">${sampled.ends.map((end) => html`<${EndTag} end=${end} />`)}</span></span>
    <span class="sample-value">${sampled.event !== null && sampled.event !== undefined ? html`<${Value} value=${sampled.event} longest=${160} />`
      : sampled.value !== null ? html`<${Value} value=${sampled.value} longest=${160} />` : html`<span class="none">${bytes(sampled.size)}</span>`}</span></a>`;
}

/** Where a record went, as a small word. */
function EndTag({ end }: { end: Pick<SampleEnd, "to" | "became"> }) {
  const isLost = end.became === "dead_letter";
  const kind = isLost ? "bad" : end.to === "drop" ? "off" : "good";
  const word = end.to === "dead_letter" ? "dead letter" : end.to === "drop" ? "dropped" : null;
  return html`<span class="end-tag ${kind}">${word ?? html`→ <${Text} text=${end.to} longest=${40} />${isLost && ": dead letter"}`}</span>`;
}
