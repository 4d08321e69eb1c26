/** What the texts would do otherwise with records that the daemon has seen. */
import { parsed } from "../../api/exact.ts";
import { href } from "../../app/route.ts";
import type { Change, Raw } from "../../api/types.ts";
import { html, type Child } from "../../html.ts";
import { Explanation } from "../../parts/explanation.ts";
import { count, plural } from "../../parts/format.ts";
import { isJson, laidOut } from "../../parts/json_text.ts";
import { Payload, Text, Value } from "../../parts/payload.ts";
import { Sign, State, type Tone } from "../../parts/state.ts";
import type { Count, Difference, Example, Group } from "./told.ts";

export type On = "live" | "dead";

export function DifferenceOf({ told, on }: { told: Difference; on: On }) {
  return html`<div class="difference"><${Verdict} told=${told} on=${on} />
    ${told.notes.map((note) => html`<p class="why"><${Text} text=${note} longest=${600} /></p>`)}
    ${told.counts.length > 0 && html`<${Counts} counts=${told.counts} />`}
    ${told.moves.length > 0 && html`<h3>Would go elsewhere</h3><${Groups} groups=${told.moves} />`}
    ${told.changes.length > 0 && html`<h3>Would go out changed</h3><${Groups} groups=${told.changes} />`}
    ${told.ungrouped > 0 && html`<p class="none">and ${plural(told.ungrouped, "record")} more, in groups of their own</p>`}</div>`;
}

/** All of it in a sentence. */
function Verdict({ told, on }: { told: Difference; on: On }) {
  const { records, moved, changed, healed, spoilt, still } = told;
  const what = on === "dead" ? "dead letter" : "sampled record";
  if (!records) {
    const why = on === "dead" ? "There are no dead letters to try it on." : "No record has been seen yet: there is nothing to try it on.";
    return html`<p class="verdict none">${why}</p>`;
  }
  const tone: Tone = spoilt ? "bad" : healed ? "good" : moved || changed ? "warn" : "off";
  const facts: [number, Child][] = [
    [healed, html`<${State} tone="good">${on === "dead" ? `${count(healed)} would go through` : `${count(healed)} would be dead letters no more`}<//>`],
    [still, html`<${State} tone="bad">${count(still)} would be dead letters again<//>`],
    [spoilt, html`<${State} tone="bad">${count(spoilt)} would become dead letters<//>`],
    [moved - healed - spoilt, html`<${State} tone="warn">${count(moved - healed - spoilt)} would go elsewhere<//>`],
    [changed, html`<${State} tone="warn">${count(changed)} would go out changed<//>`],
  ];
  const shown = facts.filter(([many]) => many > 0);
  return html`<div class="verdict ${tone}"><p>Of <b>${plural(records, what)}</b>${told.is_cut ? " (there are more)" : ""}:</p>
    ${shown.length ? html`<ul>${shown.map(([, fact]) => html`<li>${fact}</li>`)}</ul>`
      : html`<${State} tone="good">all go where they go now, as they do now<//>`}</div>`;
}

const SHOWN = 60;

function Counts({ counts }: { counts: readonly Count[] }) {
  const flows = new Set(counts.map(({ flow }) => flow)).size;
  return html`<table class="small counts"><caption>Where records end</caption><thead><tr>
      ${flows > 1 && html`<th>flow</th>`}<th>to</th><th>by rule</th><th class="number">now</th>
      <th class="number">then</th><th class="number"><span class="hidden">difference</span>±</th></tr></thead>
    <tbody>${counts.slice(0, SHOWN).map((one) => html`<tr class=${one.difference ? "differs" : ""}>
      ${flows > 1 && html`<td><${Text} text=${one.flow} /></td>`}
      <td><${Text} text=${ends(one.to)} />${one.reason && html` <span class="none"><${Text} text=${one.reason} /></span>`}</td>
      <td>${one.rule ? html`<${Text} text=${one.rule} />` : html`<span class="none">–</span>`}</td>
      <td class="number">${count(one.old)}</td><td class="number">${count(one.new)}</td>
      <td class="number ${toneOf(one)}">${one.difference > 0 ? "+" : ""}${one.difference ? count(one.difference).replace("-", "−") : "="}</td></tr>`)}</tbody></table>
    ${counts.length > SHOWN && html`<p class="none">and ${counts.length - SHOWN} more</p>`}`;
}

function toneOf({ to, difference }: Count): string {
  if (!difference) return "none";
  return to === "dead_letter" ? (difference > 0 ? "bad" : "good") : "moved";
}

/** Where records end, in words. */
function ends(to: string): string {
  return { dead_letter: "dead letters", drop: "dropped", nowhere: "unmatched", not_read: "not read" }[to] ?? to;
}

function Groups({ groups }: { groups: readonly Group[] }) {
  return html`<ul class="moves">${groups.slice(0, SHOWN).map((group) => html`<${GroupOf} group=${group} />`)}</ul>`;
}

function GroupOf({ group }: { group: Group }) {
  const isWorse = group.to.some((to) => to.startsWith("dead_letter"));
  const isBetter = group.from?.some((to) => to.startsWith("dead_letter")) && !isWorse;
  const tone: Tone = isWorse ? "bad" : isBetter ? "good" : "warn";
  return html`<li class="move ${tone}"><p class="move-head"><b>${count(group.records)}</b>
      ${group.changed ? html`<${Ends} ends=${group.changed} />` : html`<${Ends} ends=${group.from ?? []} />
        <span class="arrow" aria-label="to">→</span><${Ends} ends=${group.to} />`}</p>
    ${group.examples.map((example) => html`<${ExampleOf} example=${example} flow=${group.flow} />`)}</li>`;
}

function Ends({ ends: told }: { ends: readonly string[] }) {
  if (!told.length) return html`<span class="move-end">nowhere</span>`;
  return html`<span class="move-ends">${told.map((one) => {
    const isLetter = one.startsWith("dead_letter");
    const words = one.replace(/^\w+/, ends);
    return html`<span class="move-end ${isLetter ? "bad" : ""}">${isLetter && html`<${Sign} tone="bad" />`}<${Text} text=${words} /></span>`;
  })}</span>`;
}

/** One record, and why it goes where it would go. */
function ExampleOf({ example, flow }: { example: Example; flow: string }) {
  const link = (rule: string) => href(["flows", flow], { rule });
  return html`<details class="example"><summary><${Value} value=${meant(example.record)} longest=${140} /></summary>
    <div class="example-whole"><${RecordOf} example=${example} />
      ${example.changes?.map((change) => html`<div class="part"><span class="label"><${Text} text=${change.to} />: <${Text} text=${change.what} /></span>
        <${ChangeOf} change=${change} /></div>`)}
      ${example.new && html`<details class="why-then" open><summary>Why, by what is written here</summary><${Explanation} told=${example.new} /></details>`}
      ${example.old && html`<details class="why-now"><summary>Why, by what runs now</summary><${Explanation} told=${example.old} link=${link} /></details>`}
    </div></details>`;
}

function ChangeOf({ change }: { change: NonNullable<Example["changes"]>[number] }) {
  const fields = change.fields ?? [];
  const shown: readonly Change[] = fields.length ? fields : [{ path: "", before: change.before, after: change.after }];
  return html`${shown.map((one) => html`<div class="change"><code class="path"><${Text} text=${one.path} /></code>
    ${"before" in one ? html`<del><${Value} value=${one.before_text ?? one.before} /></del>` : html`<span class="none">absent</span>`}
    <span aria-label="becomes">→</span>
    ${"after" in one ? html`<ins><${Value} value=${one.after_text ?? one.after} /></ins>` : html`<span class="none">absent</span>`}</div>`)}`;
}

/** The record, set out where it is JSON. */
function RecordOf({ example: { name, record } }: { example: Example }) {
  const laid = isShort(record) ? laidOut(record) : null;
  return html`<${Payload} raw=${laid ?? record} isJson=${laid !== null} label=${`Record ${name}`} />`;
}

const LONGEST_READ = 65_536;

/** Whether it is a text that is not too long to be looked at as JSON. */
function isShort(record: Raw | null): record is string {
  return typeof record === "string" && record.length <= LONGEST_READ;
}

/** What a payload means as JSON, where it is that and short; else itself. */
function meant(record: Raw | null): unknown {
  return isShort(record) && isJson(record) ? parsed(record) : record;
}
