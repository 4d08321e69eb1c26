/** Where a record goes, in a line: a chip for each end. */
import type { End } from "../../api/types.ts";
import { html } from "../../html.ts";
import { Text } from "../../parts/payload.ts";
import { Sign, type Tone } from "../../parts/state.ts";

export function Ends({ ends }: { ends: readonly End[] }) {
  if (!ends.length) return html`<p class="none">It goes nowhere.</p>`;
  return html`<ul class="end-chips">${ends.map((end, place) => {
    const tone: Tone = end.to === "dead_letter" ? "bad" : end.to === "drop" ? "none" : "good";
    const word = end.to === "dead_letter" ? "a dead letter again" : end.to === "drop" ? "dropped" : "goes to";
    const by = end.by ?? end.rule;
    return html`<li key=${place} class="end-chip ${tone}"><${Sign} tone=${tone} /><span>${word}${tone === "good" && html` <b><${Text} text=${end.to} /></b>`}</span>${" "}
      ${by && html`<span class="none">by <${Text} text=${by} /></span>`}
      ${end.detail && html`<span class="end-why"><${Text} text=${end.detail} longest=${300} /></span>`}</li>`;
  })}</ul>`;
}
