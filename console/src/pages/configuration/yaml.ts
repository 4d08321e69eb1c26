/** A file of the configuration as it is written, with the numbers of its lines; coloured a little. */
import { useMemo } from "preact/hooks";
import { html, type Child } from "../../html.ts";
import { inert } from "../../parts/inert.ts";
import { VirtualList } from "../../parts/virtual.ts";

const ROW_PIXELS = 20;
const HEIGHT_PIXELS = 520;
const LONGEST = 1000;

export function Yaml({ text, label }: { text: string; label: string }) {
  const lines = useMemo(() => text.replace(/\n$/, "").split("\n"), [text]);
  const row = (line: string, place: number) => html`<code class="line"><span class="line-number">${place + 1}</span>${coloured(line.slice(0, LONGEST))}</code>`;
  return html`<${VirtualList} items=${lines} rowHeight=${ROW_PIXELS} height=${HEIGHT_PIXELS} row=${row} label=${label} class="code yaml" />`;
}

const PARTS = /^(\s*(?:- )*)([\w."'*-]+|"[^"]*")(:)(?=\s|$)|(\s#.*$|^#.*$)|(\*\*\*)/g;

function coloured(line: string): Child[] {
  const made: Child[] = [];
  let from = 0;
  for (const match of line.matchAll(PARTS)) {
    made.push(...inert(line.slice(from, match.index)));
    const [whole, before = "", key, colon = "", comment] = match;
    if (key !== undefined) made.push(before, html`<span class="json-key">${inert(key)}</span>`, colon);
    else made.push(html`<span class=${comment === undefined ? "json-word" : "none"}>${inert(whole)}</span>`);
    from = match.index + whole.length;
  }
  made.push(...inert(line.slice(from)));
  return made;
}
