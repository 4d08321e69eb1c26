/**
 * A payload, shown inertly whatever is in it: JSON set out in lines, text, or bytes as a hex dump. Of a long one the
 * first 4 KiB are shown, and all of it on demand, in a list that draws what is in view.
 */
import { useMemo, useState } from "preact/hooks";
import type { Raw } from "../api/types.ts";
import { html, type Child } from "../html.ts";
import { bytes } from "./format.ts";
import { inert } from "./inert.ts";
import { VirtualList } from "./virtual.ts";

/** Give one of `json` (any JSON value: an event) and `raw` (text or bytes as they came). */
interface Shown {
  json?: unknown;
  raw?: Raw | null;
  /** Whether `raw` is JSON, to be coloured as such. */
  isJson?: boolean;
  label: string;
  /** Ask for the whole of it, where what is given is a part of `size` bytes. */
  load?: () => void;
  size?: number;
  /** What is said where there is none. */
  none?: string;
}

const FIRST_BYTES = 4096;
const LINE_CHARACTERS = 160;
const ROW_PIXELS = 19;
const HEIGHT_PIXELS = 420;
const DUMP_BYTES = 16;

/** The payload. */
export function Payload({ json, raw, isJson = raw === undefined, label, load, size, none = "none" }: Shown) {
  const [all, setAll] = useState(false);
  const made = useMemo(() => (all || raw === null ? null : start(json, raw, isJson)), [json, raw, isJson, all]);
  const lines = useMemo(() => (all ? wholeLines(json, raw, isJson) : []), [json, raw, isJson, all]);
  if (raw === null || (raw === undefined && json === undefined)) return html`<p class="none">${none}</p>`;
  if (all) {
    const row = (line: Line) => html`<code class="line">${shown(line)}</code>`;
    return html`<div class="payload"><${VirtualList} items=${lines} rowHeight=${ROW_PIXELS} height=${HEIGHT_PIXELS}
      row=${row} label=${label} class="code" />
      <button type="button" class="quiet more" onClick=${() => setAll(false)}>Show the beginning alone</button></div>`;
  }
  if (!made) return null;
  const more = () => {
    load?.();
    setAll(true);
  };
  return html`<div class="payload"><pre class="code" tabindex="0" role="region" aria-label=${label}>
    ${made.lines.map((line) => [shown(line), "\n"])}</pre>
    ${(load || made.rest > 0) && html`<button type="button" class="quiet more" onClick=${more}>
      Show all (${bytes(size ?? made.size)})</button>`}</div>`;
}

interface Line {
  text: string;
  /** Whether it is JSON that we set out ourselves, so that it can be coloured. */
  isJson: boolean;
}

interface Start {
  lines: Line[];
  size: number;
  /** How much is not shown. */
  rest: number;
}

function start(json: unknown, raw: Raw | undefined, isJson: boolean): Start {
  if (raw !== undefined && typeof raw !== "string") {
    const octets = decoded(raw.base64);
    const some = octets.subarray(0, FIRST_BYTES / 4);
    return { lines: dump(some), size: octets.length, rest: octets.length - some.length };
  }
  const text = textOf(json, raw);
  const some = text.length > FIRST_BYTES ? text.slice(0, FIRST_BYTES) : text;
  const lines = some.split("\n").map((line) => ({ text: line, isJson }));
  const size = text.length > FIRST_BYTES ? new TextEncoder().encode(text).length : text.length;
  return { lines, size, rest: text.length - some.length };
}

/** All of it in lines of a bounded length. */
function wholeLines(json: unknown, raw: Raw | undefined | null, isJson: boolean): Line[] {
  if (raw && typeof raw !== "string") return dump(decoded(raw.base64));
  return textOf(json, raw ?? undefined)
    .split("\n")
    .flatMap((line) => chunks(line).map((text) => ({ text, isJson: isJson && text.length < LINE_CHARACTERS })));
}

function chunks(line: string): string[] {
  if (line.length <= LINE_CHARACTERS) return [line];
  const made: string[] = [];
  for (let from = 0; from < line.length; from += LINE_CHARACTERS) made.push(line.slice(from, from + LINE_CHARACTERS));
  return made;
}

function textOf(json: unknown, raw: string | undefined): string {
  return raw ?? JSON.stringify(json, null, 2) ?? "";
}

function decoded(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (octet) => octet.charCodeAt(0));
}

function dump(octets: Uint8Array): Line[] {
  const lines: Line[] = [];
  for (let from = 0; from < octets.length; from += DUMP_BYTES) {
    const some = [...octets.subarray(from, from + DUMP_BYTES)];
    const hex = some.map((octet) => octet.toString(16).padStart(2, "0")).join(" ").padEnd(DUMP_BYTES * 3 - 1);
    const text = some.map((octet) => (octet >= 0x20 && octet < 0x7f ? String.fromCharCode(octet) : "·")).join("");
    lines.push({ text: `${from.toString(16).padStart(6, "0")}  ${hex}  ${text}`, isJson: false });
  }
  return lines;
}

const TOKEN = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** A line as children, coloured where it is JSON. */
function shown({ text, isJson }: Line): Child[] {
  if (!isJson) return inert(text);
  const made: Child[] = [];
  let from = 0;
  for (const match of text.matchAll(TOKEN)) {
    made.push(text.slice(from, match.index));
    const [whole, quoted, colon] = match;
    const kind = quoted ? (colon ? "key" : "string") : /[tfn]/.test(whole[0] ?? "") ? "word" : "number";
    made.push(html`<span class="json-${kind}">${inert(quoted ?? whole)}</span>`, colon ?? "");
    from = match.index + whole.length;
  }
  made.push(...inert(text.slice(from)));
  return made;
}

/** A value on one line, cut where it is long: for tables and trees. */
export function Value({ value, longest = 120 }: { value: unknown; longest?: number }) {
  const text = typeof value === "string" ? JSON.stringify(value) : (JSON.stringify(value) ?? "");
  const cut = text.length > longest ? `${text.slice(0, longest)}…` : text;
  return html`<code class="value">${shown({ text: cut, isJson: true })}</code>`;
}

/** Names from outside, one after the other; each reads in its own direction. */
export function Names({ of }: { of: readonly string[] }) {
  return html`${of.map((name, place) => html`${place ? ", " : ""}<${Text} text=${name} />`)}`;
}

/** Text from outside on one line. What is put beside it, arrows above all, stays out of it: it may turn the direction. */
export function Text({ text, longest = 300 }: { text: string; longest?: number }) {
  return html`<bdi class="outside">${inert(text.length > longest ? `${text.slice(0, longest)}…` : text)}</bdi>`;
}
