/** Which letters are looked at: it stands in the address, and in fields that change it. */
import { computed } from "@preact/signals";
import { useState } from "preact/hooks";
import type { Filter, Group } from "../../api/letters.ts";
import { href, refine, route, type Query } from "../../app/route.ts";
import { html } from "../../html.ts";
import { inertText } from "../../parts/inert.ts";
import { Text } from "../../parts/payload.ts";
import { Sign } from "../../parts/state.ts";

export const NAMES = ["flow", "stage", "source", "sink", "rule", "reason", "since", "until", "when"] as const;
const CHOSEN = ["flow", "stage", "source", "sink", "rule", "reason"] as const;
const AGES = [["", "any time"], ["10m", "the last 10 minutes"], ["1h", "the last hour"], ["24h", "the last day"], ["7d", "the last week"]] as const;

/** What the address says. */
export const filter = computed<Filter>(() => {
  const query = route.value.query;
  return Object.fromEntries(NAMES.map((name) => [name, query.get(name) ?? ""])) as unknown as Filter;
});

/** Whether anything is asked of the letters. */
export const isFiltered = computed(() => NAMES.some((name) => filter.value[name]));

/** What stands in the address of all that is shown with these letters: the filter, and the replay that is watched. */
export function within(): Query {
  return { ...filter.value, job: route.value.query.get("job") };
}

/** The link to the letters of a group, within what is asked of all of them. */
export function linkTo(group: Group): string {
  return href(["dead-letters"], { ...within(), ...exactly(group) });
}

/** Whether the filter names this group and no other. */
export function isOnly(group: Group): boolean {
  const asked = exactly(group);
  return CHOSEN.every((name) => filter.value[name] === (asked[name] ?? ""));
}

function exactly({ flow, stage, source, sink, rule, reason }: Group): Partial<Filter> {
  return { flow, stage, source, sink: sink ?? "", rule: rule ?? "", reason };
}

/** The filter in words: `flow shop, stage sink`. */
export function inWords(asked: Filter): string {
  return NAMES.filter((name) => asked[name]).map((name) => `${name} ${inertText(asked[name])}`).join(", ");
}

/** The fields. `known` are all groups that there are, from which is chosen; `fault` is what the daemon says of them. */
export function Filters({ known, fault }: { known: readonly Group[]; fault: string }) {
  const [isOpen, setOpen] = useState(false);
  const asked = filter.value;
  const set = NAMES.filter((name) => asked[name]).length;
  return html`<search class="filters ${isOpen ? "open" : ""}"><div class="filters-first">
      <${When} />
      <button type="button" class="filters-more" aria-expanded=${isOpen} aria-controls="filters-chosen"
        onClick=${() => setOpen(!isOpen)}>Filter${set ? ` (${set})` : ""}</button>
      ${set > 0 && html`<a class="button quiet" href=${href(["dead-letters"])}>Clear</a>`}</div>
    ${fault && html`<p class="fault" role="alert"><${Sign} tone="bad" /><${Text} text=${fault} /></p>`}
    <div class="filters-chosen" id="filters-chosen">
      ${CHOSEN.map((name) => html`<${Chosen} key=${name} name=${name} known=${known} />`)}
      <${Since} />
    </div></search>`;
}

function When() {
  const take = (event: Event) => {
    event.preventDefault();
    const field = (event.currentTarget as HTMLFormElement).elements.namedItem("when") as HTMLInputElement;
    refine({ when: field.value.trim() }, false);
  };
  return html`<form class="when" role="presentation" onSubmit=${take}>
    <label><span class="hidden">Those for which this holds (CEL)</span>
      <input class="code" name="when" data-search spellcheck=${false} autocomplete="off" autocapitalize="off" key=${filter.value.when}
        defaultValue=${filter.value.when} placeholder='when: attempts > 3 && event.type == "order"' /></label>
    <button type="submit" class="hidden" tabindex="-1">Filter by it</button></form>`;
}

function Chosen({ name, known }: { name: (typeof CHOSEN)[number]; known: readonly Group[] }) {
  const chosen = filter.value[name];
  const counts = new Map<string, number>(chosen ? [[chosen, 0]] : []);
  for (const group of known) {
    const value = group[name];
    if (value) counts.set(value, (counts.get(value) ?? 0) + group.count);
  }
  const options = [...counts.keys()].sort();
  return html`<label class=${chosen ? "set" : ""}>${name}
    <select value=${chosen} onChange=${(event: Event) => refine({ [name]: (event.currentTarget as HTMLSelectElement).value }, false)}>
      <option value="">any</option>
      ${options.map((value) => html`<option key=${value} value=${value}>${inertText(value).slice(0, 80)}</option>`)}</select></label>`;
}

function Since() {
  const chosen = filter.value.since;
  const isOther = chosen !== "" && !AGES.some(([age]) => age === chosen);
  return html`<label class=${chosen ? "set" : ""}>since
    <select value=${chosen} onChange=${(event: Event) => refine({ since: (event.currentTarget as HTMLSelectElement).value }, false)}>
      ${AGES.map(([age, words]) => html`<option key=${age} value=${age}>${words}</option>`)}
      ${isOther && html`<option value=${chosen}>${inertText(chosen)}</option>`}</select></label>`;
}
