/** What records must satisfy, what names stand for, and where the rest goes. */
import type { FlowDetail, Target } from "../../api/types.ts";
import { html } from "../../html.ts";
import { Cel } from "../../parts/cel.ts";
import { count } from "../../parts/format.ts";
import { Names, Payload, Text } from "../../parts/payload.ts";
import { Sign } from "../../parts/state.ts";

/** What a record must satisfy before any rule sees it, and what the names of `let` stand for. */
export function Contract({ flow }: { flow: FlowDetail }) {
  const { contract } = flow;
  const hasContract = contract.schema !== null || contract.model || contract.checks.length > 0;
  const bySchema = Object.entries(contract.violations).filter(([name]) => !contract.checks.some((check) => check.name === name));
  return html`<section class="panel contract" aria-labelledby="contract"><h2 id="contract">Contract</h2>
      ${!hasContract && html`<p class="none">None: every record that can be decoded comes to the rules.</p>`}
      ${contract.model && html`<p>Model <code><${Text} text=${contract.model} /></code></p>`}
      ${contract.checks.map((check) => html`<div class="check"><p><${Sign} tone=${check.violations ? "warn" : "good"} />
        <b><${Text} text=${check.name} /></b>${violations(check.violations)}</p><${Cel} text=${check.expression} /></div>`)}
      ${bySchema.map(([name, many]) => html`<div class="check"><p><${Sign} tone="warn" /><b><${Text} text=${name} /></b>${violations(many)}</p></div>`)}
      ${contract.sensitive.length > 0 && html`<p>Never shown: <code><${Names} of=${contract.sensitive} /></code></p>`}
      ${contract.schema !== null && html`<details><summary>JSON Schema</summary><${Payload} json=${contract.schema} label="JSON Schema" /></details>`}</section>
    ${Object.keys(flow.let).length > 0 && html`<section class="panel" aria-labelledby="let"><h2 id="let">Names</h2>
      <dl class="lets">${Object.entries(flow.let).map(([name, text]) => html`<div><dt><code><${Text} text=${name} /></code></dt><dd><${Cel} text=${text} /></dd></div>`)}</dl></section>`}
`;
}

/** Where records go that no rule decides about. */
export function Otherwise({ flow }: { flow: FlowDetail }) {
  return html`<section class="panel" aria-labelledby="otherwise"><h2 id="otherwise">Otherwise</h2>
      <dl class="lets">${Object.entries(flow.otherwise).map(([name, to]) => html`<div><dt>${name}</dt><dd>${ends(to)}</dd></div>`)}</dl></section>`;
}

function violations(many: number) {
  return html` <span class=${many ? "word warn" : "none"}>${many ? `${count(many)} broke it` : "always held"}</span>`;
}

function ends(to: Target[] | string | null) {
  if (to === null) return html`<span class="none">nothing is left for it</span>`;
  if (typeof to === "string") return to.replaceAll("_", " ");
  return html`<${Names} of=${to.map(({ sink }) => (sink === "dead_letter" ? "dead letter" : sink))} />`;
}
