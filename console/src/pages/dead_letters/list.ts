/** The letters, oldest first, of which those in view are drawn: chosen by mouse or keyboard, opened on click. */
import { signal } from "@preact/signals";
import { ApiError } from "../../api/client.ts";
import type { Listed } from "../../api/letters.ts";
import { href } from "../../app/route.ts";
import { html } from "../../html.ts";
import { bytes, clock, count, exactly } from "../../parts/format.ts";
import { inertText } from "../../parts/inert.ts";
import { Empty, Failure, Loading } from "../../parts/notes.ts";
import { Text } from "../../parts/payload.ts";
import { VirtualList } from "../../parts/virtual.ts";
import { isFiltered, within } from "./filters.ts";
import { Where } from "./groups.ts";
import { MOST, type Loaded } from "./loaded.ts";

const ROW_PIXELS = 50;

/** The ids of those that are chosen. */
export const chosen = signal<ReadonlySet<number>>(new Set());
/** The place where the keyboard is; -1 before it was used. */
export const cursor = signal(-1);

/** Choose a letter, or leave it. */
export function toggle(id: number): void {
  const ids = new Set(chosen.value);
  if (!ids.delete(id)) ids.add(id);
  chosen.value = ids;
}

interface Shown {
  loaded: Loaded;
  /** How many there are, as far as is known. */
  total: number;
  /** The letter that is open. */
  id: number | null;
  height: number;
}

/** The list. */
export function Letters({ loaded, total, id, height }: Shown) {
  const items = loaded.items.value;
  const at = id === null ? cursor.value : items.findIndex((letter) => letter.id === id);
  if (isRefused(loaded)) return html`<${Empty} title="The filter means nothing" />`;
  if (loaded.error.value && !items.length) return html`<${Failure} error=${loaded.error.value} again=${() => loaded.refresh()} />`;
  if (!items.length && loaded.isBusy.value) return html`<${Loading} what="Looking for dead letters" />`;
  if (!items.length) return html`<${Empty} title=${isFiltered.value ? "No dead letters are like this" : "No dead letters"}>
    ${isFiltered.value ? html`<p><a href=${href(["dead-letters"])}>Show all that there are</a></p>` : null}<//>`;
  const row = (letter: Listed, place: number) =>
    html`<${Row} letter=${letter} isHere=${place === at} isOpen=${letter.id === id} isChosen=${chosen.value.has(letter.id)} />`;
  return html`<div class="letters"><${VirtualList} items=${items} rowHeight=${ROW_PIXELS} height=${height} row=${row} at=${at}
      label="Dead letters" onEnd=${() => void loaded.more()} onView=${(end: number) => loaded.see(end)} />
    <p class="letters-foot none"><${Foot} loaded=${loaded} total=${total} /></p></div>`;
}

/** Whether the filter is one that the daemon does not understand; that it says so is shown beside the filter. */
function isRefused(loaded: Loaded): boolean {
  return loaded.error.value instanceof ApiError && loaded.error.value.status === 400;
}

function Foot({ loaded, total }: { loaded: Loaded; total: number }) {
  const many = loaded.items.value.length;
  if (loaded.error.value) return html`<${Failure} error=${loaded.error.value} again=${() => loaded.refresh()} />`;
  if (loaded.isOld.value) {
    return html`<span>Some came or went since.</span> <button type="button" class="quiet" onClick=${() => loaded.refresh()}>Look again</button>`;
  }
  if (many >= MOST) return html`The oldest ${many.toLocaleString("en")} are listed. To see others, filter.`;
  if (loaded.isBusy.value) return html`Loading …`;
  if (loaded.isWhole.value) return html`${many.toLocaleString("en")}, oldest first`;
  return html`The oldest ${many.toLocaleString("en")} of ${count(Math.max(total, many))}; scroll for more`;
}

interface InRow {
  letter: Listed;
  isHere: boolean;
  isOpen: boolean;
  isChosen: boolean;
}

function Row({ letter, isHere, isOpen, isChosen }: InRow) {
  const name = `${isHere ? "here" : ""} ${isOpen ? "open" : ""} ${isChosen ? "chosen" : ""}`;
  return html`<div class="letter-row ${name}">
    <label class="letter-check"><input type="checkbox" checked=${isChosen} onChange=${() => toggle(letter.id)} aria-label="Choose letter ${letter.id}" /></label>
    <a class="letter-link" href=${href(["dead-letters", String(letter.id)], within())} aria-current=${isOpen ? "true" : null}>
      <span class="letter-line"><span class="letter-id">${letter.id}</span>
        <b class="letter-reason"><${Text} text=${letter.reason.replaceAll("_", " ")} /></b>
        <span class="letter-detail why"><${Text} text=${letter.detail} longest=${200} /></span>
        <${Where} of=${letter} />
        <time class="letter-time none" datetime=${letter.time} title=${exactly(letter.time)}>${clock(letter.time)}</time></span>
      <span class="letter-line"><span class="letter-value"><${Beginning} letter=${letter} /></span>
        ${letter.attempts > 1 && html`<span class="none" title="How often it was tried">${letter.attempts}×</span>`}
        <span class="letter-size none">${bytes(letter.size)}</span></span></a></div>`;
}

function Beginning({ letter }: { letter: Listed }) {
  const { value } = letter;
  if (value === null) return html`<span class="none">not shown</span>`;
  if (typeof value === "string") return html`<code title=${inertText(value.slice(0, 300))}><${Text} text=${value} longest=${220} /></code>`;
  return html`<span class="none">bytes</span> <code>${readable(value.base64.slice(0, 160))}</code>`;
}

/** Bytes as far as they are ASCII. */
function readable(base64: string): string {
  return atob(base64).replace(/[^ -~]/g, "·");
}
