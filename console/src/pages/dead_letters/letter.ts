/** One dead letter: why it is one, its record, what was to go out, and where it would go by the rules as they are now. */
import { useMemo, useState } from "preact/hooks";
import { at, get } from "../../api/client.ts";
import { isOutgoing, type Letter, type Record } from "../../api/letters.ts";
import { live, now } from "../../api/live.ts";
import type { Explanation as Told, Raw } from "../../api/types.ts";
import { href } from "../../app/route.ts";
import { html, type Child } from "../../html.ts";
import { Explanation } from "../../parts/explanation.ts";
import { ago, bytes, clock, exactly } from "../../parts/format.ts";
import { laidOut } from "../../parts/json_text.ts";
import { complain, Failure, Loading } from "../../parts/notes.ts";
import { Payload, Text, Value } from "../../parts/payload.ts";
import { Sign } from "../../parts/state.ts";
import { useGet } from "../../parts/use.ts";
import { Ends } from "./ends.ts";
import { within } from "./filters.ts";

/** So many characters of a payload are asked for at first. */
export const CUT = 65_536;

interface Shown {
  letter: Letter;
  /** Changes when rules or letters have. */
  turn: string;
}

/** All that is known of it. */
export function LetterDetail({ letter, turn }: Shown) {
  const isTwo = isOutgoing(letter);
  return html`<${Because} letter=${letter} />
    <${Facts} letter=${letter} />
    <${Now} letter=${letter} turn=${turn} />
    <div class="letter-forms ${isTwo ? "two" : ""}">
      <${Form} title=${letter.original && !isTwo ? "The record, as amended" : "The record"} letter=${letter} record=${letter} size=${letter.size} which="value" />
      ${isTwo && html`<${Form} title=${letter.original ? "What is to go out" : "What was to go out"} letter=${letter} size=${letter.out_size} which="out_value"
        record=${{ value: letter.out_value, key: letter.out_key, headers: letter.out_headers }} more=${letter.out_settings} />`}</div>
    ${letter.original && html`<${Original} letter=${letter} original=${letter.original} />`}`;
}

/** What came first, of a letter that was amended. */
function Original({ letter, original }: { letter: Letter; original: NonNullable<Letter["original"]> }) {
  const what = original.what === "outgoing" ? "What was to go out before it was amended" : "The record before it was amended";
  return html`<details class="part-of"><summary>${what}, <time datetime=${original.amended} title=${exactly(original.amended)}>${clock(original.amended)}</time></summary>
    <${Form} title="As it was" letter=${letter} record=${original} size=${null} which="" /></details>`;
}

function Because({ letter }: { letter: Letter }) {
  const where = { decode: "It could not be decoded", contract: "It breaks the contract", rule: "A rule did not take it", sink: "The sink did not take it" }[letter.stage];
  return html`<div class="because bad"><p><${Sign} tone="bad" /><b>${where ?? letter.stage}: <${Text} text=${letter.reason.replaceAll("_", " ")} /></b></p>
    ${letter.detail && html`<p class="why"><${Text} text=${letter.detail} longest=${4000} /></p>`}</div>`;
}

function Facts({ letter }: { letter: Letter }) {
  const runs = live.value?.flows[letter.flow]?.version;
  const isOther = runs !== undefined && runs !== letter.version;
  const facts: [string, Child][] = [
    ["when", html`<time datetime=${letter.time} title=${exactly(letter.time)}>${clock(letter.time)}</time> <span class="none">${ago(Date.parse(letter.time) / 1000, now.value)}</span>`],
    ["flow", html`<a href=${href(["flows", letter.flow])}><${Text} text=${letter.flow} /></a>`],
    ["source", html`<a href=${href([], { at: `source/${letter.source}` })}><${Text} text=${letter.source} /></a>`],
    ...(letter.rule ? [["rule", html`<a href=${href(["flows", letter.flow], { rule: letter.rule })}><${Text} text=${letter.rule} /></a>`] as [string, Child]] : []),
    ...(letter.sink ? [["sink", html`<a href=${href([], { at: `sink/${letter.sink}` })}><${Text} text=${letter.sink} /></a>`] as [string, Child]] : []),
    ["tried", letter.attempts === 1 ? "once" : `${letter.attempts} times`],
    ["version", html`<code>${letter.version}</code>${isOther && html` <span class="none">now <code>${runs}</code></span>`}`],
    ["size", bytes(letter.size)],
  ];
  return html`<dl class="facts letter-facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** Where it would go by the rules as they are now. */
function Now({ letter, turn }: Shown) {
  const { data, error, again } = useGet<Told>(at`/api/dead_letters/${letter.id}/explanation`, { turn });
  const body = data
    ? html`<${Ends} ends=${data.goes_to} /><details class="why-now"><summary>Why</summary>
        <${Explanation} told=${data} link=${(rule: string) => href(["flows", letter.flow], { rule })} /></details>`
    : error ? html`<${Failure} error=${error} again=${again} />` : html`<${Loading} what="Asking the rules" />`;
  return html`<section class="now panel" aria-label="By the rules as they are now"><h3>By the rules as they are now</h3>
    ${body}
    ${isOutgoing(letter) && html`<p class="none">A replay asks them only where you say so: else what was to go out
      goes straight to <${Text} text=${letter.sink ?? ""} /> again.</p>`}</section>`;
}

interface OfRecord {
  title: string;
  letter: Letter;
  record: Record;
  size: number | null;
  which: "value" | "out_value" | "";
  more?: { [name: string]: unknown };
}

/** A record: its payload, and what stands beside it. */
function Form({ title, letter, record, size, which, more }: OfRecord) {
  const [whole, setWhole] = useState<Raw | null>(null);
  const isCut = which !== "" && whole === null && (size ?? 0) > CUT;
  const load = () => get<Letter>(at`/api/dead_letters/${letter.id}`).then((all) => which && setWhole(all[which]), complain);
  const beside: [string, Child][] = [
    ...(record.key === null ? [] : [["key", html`<${Outside} raw=${record.key} />`] as [string, Child]]),
    ...(record.headers ?? []).map(([name, value]): [string, Child] => [name, html`<${Outside} raw=${value} />`]),
    ...(which === "value" && letter.record_time ? [["time", html`<span title=${letter.record_time}>${clock(letter.record_time, true)}</span>`] as [string, Child]] : []),
    ...Object.entries(which === "value" ? letter.attributes : (more ?? {})).map(([name, value]): [string, Child] => [name, html`<${Value} value=${value} />`]),
  ];
  return html`<div class="panel letter-form">
    <${Body} title=${title} raw=${whole ?? record.value} size=${size} load=${isCut ? load : undefined} />
    ${beside.length > 0 && html`<dl class="facts beside">${beside.map(([name, value], place) => html`<div key=${place}><dt><${Text} text=${name} longest=${60} /></dt><dd>${value}</dd></div>`)}</dl>`}</div>`;
}

interface OfPayload {
  title: string;
  raw: Raw | null;
  size: number | null;
  load?: () => void;
}

function Body({ title, raw, size, load }: OfPayload) {
  const [asItCame, setAsItCame] = useState(false);
  const laid = useMemo(() => (typeof raw === "string" && !load ? laidOut(raw) : null), [raw, load === undefined]);
  const shown = laid !== null && !asItCame ? laid : raw;
  return html`<header class="form-head"><h3>${title}</h3><span class="none">${size === null ? "" : bytes(size)}</span>
      ${laid !== null && html`<button type="button" class="quiet" aria-pressed=${asItCame} onClick=${() => setAsItCame(!asItCame)}>As it came</button>`}</header>
    <${Payload} key=${asItCame} raw=${shown} isJson=${laid !== null} label=${title} load=${load} size=${size ?? undefined}
      none="Nothing of it may be shown." />`;
}

function Outside({ raw }: { raw: Raw }) {
  return typeof raw === "string" ? html`<${Text} text=${raw} />` : html`<${Value} value=${raw} />`;
}

/** The link to a letter, within the filter. */
export function linkToLetter(id: number, more: { edit?: number | null } = {}): string {
  return href(["dead-letters", String(id)], { ...within(), ...more });
}
