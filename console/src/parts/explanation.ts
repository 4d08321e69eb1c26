/** Why a record goes where it goes: the contract, each rule with each sub-expression's value, and where it goes. */
import type {
  Change, Check, Element, End, Evaluation, Explanation as Told, Shaping, Step,
} from "../api/types.ts";
import { html, type Child } from "../html.ts";
import { endNames } from "./format.ts";
import { Payload, Text, Value } from "./payload.ts";
import { Sign, State, type Tone } from "./state.ts";

/** All of it, in the order in which it happens. `link` makes a link of a rule's name; without `ends`, what goes out is
 * left out, as somewhere else on the page. */
export function Explanation({ told, link, ends = true }: { told: Told; link?: (rule: string) => string; ends?: boolean }) {
  const contract = told.contract;
  const names = endNames(told.goes_to);
  return html`<ol class="explanation">
    ${told.undecodable && html`<li><${Head} tone="bad" name="decode" word="cannot be decoded" />
      <p class="why"><${Text} text=${told.undecodable.detail || told.undecodable.reason} /></p></li>`}
    ${contract && html`<li><${Head} tone=${contract.holds ? "good" : "bad"} name="contract"
      word=${contract.holds ? "holds" : contract.passes ? "broken, and passed on" : "broken"} />
      ${contract.violations?.map((one) => html`<p class="why"><code>${one.place || one.check}</code>
        ${" "}<${Text} text=${one.message} /></p>`)}
      ${contract.expect?.map((check) => html`<${CheckOf} check=${check} />`)}</li>`}
    ${told.rules.map((step) => html`<${StepOf} step=${step} link=${link?.(step.name)} />`)}
    ${told.otherwise?.map((step) => html`<${StepOf} step=${step} />`)}
    ${ends && told.goes_to.map((end, place) => html`<${EndOf} end=${end} of=${names[place]} />`)}
  </ol>`;
}

function Head({ tone, name, word, link, place }: { tone: Tone; name: string; word: Child; link?: string; place?: string }) {
  return html`<div class="step-head"><${Sign} tone=${tone} />
    ${link ? html`<a class="name" href=${link}><${Text} text=${name} /></a>`
      : html`<span class="name"><${Text} text=${name} /></span>`}
    <span class="word ${tone}">${word}</span>${place && html`<span class="place"><${Text} text=${place} /></span>`}</div>`;
}

const FATES: Record<string, Tone> = { error: "bad", violated: "bad", matched: "good", held: "warn" };

function StepOf({ step, link }: { step: Step; link?: string }) {
  const tone = step.error ? "bad" : (FATES[step.fate] ?? "none");
  const word = step.missing ? html`does not match: <${Text} text=${step.missing} /> is missing` : step.fate.replaceAll("_", " ");
  return html`<li class=${step.fate === "not_reached" ? "unreached" : ""}>
    <${Head} tone=${tone} name=${step.name} word=${word} link=${link} place=${step.place} />
    ${step.error && html`<p class="why"><${Text} text=${step.error} /></p>`}
    ${step.when && html`<${EvaluationOf} of=${step.when} />`}
    ${step.expect?.map((check) => html`<${CheckOf} check=${check} />`)}
    ${step.split && html`<div class="part"><span class="label">split into ${step.split.elements}</span>
      <${EvaluationOf} of=${step.split.each} /></div>`}
    ${step.gates?.map((gate) => html`<div class="part"><span class="label">${gate.kind} ${gate.allows}</span>
      <span>${gate.result}</span>${gate.key && html`<${EvaluationOf} of=${gate.key} />`}</div>`)}
    ${step.makes?.map((made) => html`<${ShapingOf} made=${made} />`)}
    ${step.sends?.map((sent) => html`<div class="part"><span class="label">to
      ${" "}<b><${Text} text=${sent.to} /></b></span><${ShapingOf} made=${sent} />
      ${sent.taken_back && html`<span class="word warn">taken back: ${String(sent.taken_back)}</span>`}</div>`)}</li>`;
}

function CheckOf({ check }: { check: Check }) {
  return html`<div class="part"><${State} tone=${check.holds ? "good" : "bad"}><${Text} text=${check.name} /><//>
    ${check.violation && html`<p class="why"><${Text} text=${check.violation.message} /></p>`}
    ${check.evaluation && html`<${EvaluationOf} of=${check.evaluation} />`}</div>`;
}

function ShapingOf({ made }: { made: Shaping }) {
  return html`${made.changes?.map((change) => html`<${ChangeOf} change=${change} />`)}
    ${made.more_changes ? html`<p class="none">and ${made.more_changes} more</p>` : null}
    ${made.expressions?.map(({ what, evaluation }) => html`<div class="part"><span class="label"><${Text} text=${what} /></span>
      <${EvaluationOf} of=${evaluation} /></div>`)}`;
}

function ChangeOf({ change }: { change: Change }) {
  return html`<div class="change"><code class="path"><${Text} text=${change.path} /></code>
    ${"before" in change || change.before_text !== undefined
      ? html`<del><${Value} value=${change.before_text ?? change.before} /></del>` : html`<span class="none">absent</span>`}
    <span aria-label="becomes">→</span>
    ${"after" in change || change.after_text !== undefined
      ? html`<ins><${Value} value=${change.after_text ?? change.after} /></ins>` : html`<span class="none">absent</span>`}</div>`;
}

/** An expression with its value; its parts are folded below it. */
export function EvaluationOf({ of, open = false }: { of: Evaluation; open?: boolean }): Child {
  const line = html`<code class="expression">${of.let && html`<span class="let"><${Text} text=${of.let} /> = </span>`}
    <${Text} text=${of.expression} longest=${2000} /></code><${Outcome} of=${of} />`;
  const parts = of.parts ?? [];
  const elements = of.elements ?? [];
  if (!parts.length && !elements.length) return html`<div class="evaluation leaf">${line}</div>`;
  return html`<details class="evaluation" open=${open}><summary>${line}</summary><div class="parts">
    ${parts.map((part) => html`<${EvaluationOf} of=${part} open=${parts.length < 4} />`)}
    ${elements.map((element) => html`<${ElementOf} element=${element} />`)}
    ${of.visited && of.visited > elements.length ? html`<p class="none">and ${of.visited - elements.length} more</p>` : null}
  </div></details>`;
}

function ElementOf({ element }: { element: Element }) {
  const variables = Object.entries(element.variables);
  return html`<div class="part ${element.decides ? "decides" : ""}"><span class="label">[${element.number}]
    ${variables.map(([name, value]) => html` <${Text} text=${name} /> = <${Value} value=${value} longest=${60} />`)}</span>
    ${element.parts.map((part) => html`<${EvaluationOf} of=${part} />`)}</div>`;
}

function Outcome({ of }: { of: Evaluation }) {
  if (of.state === "value") {
    const value = of.value_text ?? of.value;
    const truth = value === true ? "true" : value === false ? "false" : "";
    return html`<span class="outcome ${truth}">${of.value_text === undefined
      ? html`<${Value} value=${value} />` : html`<${Text} text=${of.value_text} />`}</span>`;
  }
  const tone = of.state === "error" ? "bad" : "off";
  const word = of.error ?? (of.culprit ? `${of.culprit} is missing` : of.state);
  return html`<span class="outcome ${tone}"><${Text} text=${word} /></span>`;
}

/** Where it went, and what went out. */
function EndOf({ end, of }: { end: End; of: string }) {
  const isLetter = end.to === "dead_letter";
  const word = isLetter ? `dead letter: ${end.reason ?? ""}` : end.to === "drop" ? "dropped" : "goes out";
  const settings = Object.entries(end.settings ?? {});
  return html`<li class="end"><${Head} tone=${isLetter ? "bad" : end.to === "drop" ? "none" : "good"} name=${end.to}
      word=${end.by ? html`${word}, by <${Text} text=${end.by} />` : word} />
    ${end.detail && html`<p class="why"><${Text} text=${end.detail} longest=${2000} /></p>`}
    ${settings.map(([name, value]) => html`<div class="setting"><span class="label">${name}</span><${Value} value=${value} /></div>`)}
    ${end.changed && end.value !== undefined ? html`<${Payload} raw=${end.value} label=${`What goes out to ${of}`} />`
      : end.type && html`<p class="none">${end.changed ? "changed" : "as it came"}</p>`}</li>`;
}
