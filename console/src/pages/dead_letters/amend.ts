/**
 * What a replay of a letter sends, edited: the record, beside where it would go by the rules as they are now; or, where a
 * sink did not take it, what goes out, beside the record that it was made of.
 */
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { at, post } from "../../api/client.ts";
import { amend, isOutgoing, sent, type Amended, type Letter } from "../../api/letters.ts";
import { live } from "../../api/live.ts";
import type { Explanation as Told, FlowDetail, Raw } from "../../api/types.ts";
import { href, refine } from "../../app/route.ts";
import { html } from "../../html.ts";
import { Explanation } from "../../parts/explanation.ts";
import { bytes } from "../../parts/format.ts";
import { isJson, laidOut, onOneLine } from "../../parts/json_text.ts";
import { complain, Empty, Failure, Loading, say } from "../../parts/notes.ts";
import { Payload, Text } from "../../parts/payload.ts";
import { State } from "../../parts/state.ts";
import { useGet } from "../../parts/use.ts";
import { start } from "./ask.ts";
import { PayloadEditor } from "./editor.ts";
import { Ends } from "./ends.ts";
import { RuleLink } from "./rule_link.ts";

/** What is longer is not edited here. */
export const LONGEST = 1 << 20;
const PAUSE_MS = 350;

interface Edited {
  letter: Letter;
  close: () => void;
  /** The letter is another now. */
  again: () => void;
}

/** The editor. It closes when the change was kept. */
export function Amend({ letter, close, again }: Edited) {
  const flow = useGet<FlowDetail>(at`/api/flows/${letter.flow}`);
  const { size, value } = sent(letter);
  if (size > LONGEST) {
    return html`<${Empty} title=${`${bytes(size)} are too long to be edited here`}>
      <p>On the host: <code>sluiceway dead amend ${letter.id} --file FILE</code></p><p><button type="button" onClick=${close}>Back</button></p><//>`;
  }
  if (flow.loading && !flow.data) return html`<${Loading} />`;
  const isHidden = value === null || (flow.data?.contract.sensitive.length ?? 0) > 0;
  return html`<${Editing} letter=${letter} close=${close} again=${again} isHidden=${isHidden} />`;
}

function Editing({ letter, close, again, isHidden }: Edited & { isHidden: boolean }) {
  const { value, key: itsKey } = sent(letter);
  const isBytes = typeof value === "object" && value !== null;
  const first = useMemo(() => beginning(value, isHidden), []);
  const text = useSignal(first);
  const firstKey = typeof itsKey === "string" && !isHidden ? itsKey : "";
  const key = useSignal(firstKey);
  const isBusy = useSignal(false);
  const isChanged = text.value !== first || (key.value !== firstKey && !isHidden);
  const changed = (): Amended => ({ ...payload(text.value, value), ...(key.value !== firstKey && { key: key.value }) });
  const keep = async (andReplay: boolean) => {
    isBusy.value = true;
    try {
      if (isChanged) {
        await amend(letter.id, changed());
        say(`Dead letter ${letter.id} is amended`);
        again();
      }
      close();
      if (andReplay) await start({ id: [letter.id] });
    } catch (error) {
      complain(error);
    }
    isBusy.value = false;
  };
  const looksJson = !isBytes && isJson(text.value);
  const wasJson = typeof value === "string" && isJson(value);
  const title = isOutgoing(letter) ? "What goes out" : "The record";
  return html`<div class="amend">
    ${isHidden && html`<p class="because"><b>Fields of this flow are sensitive.</b> What they hold is not shown: all of it has to be given anew.</p>`}
    <div class="amend-columns"><section class="panel amend-record" aria-label="${title}, edited">
      <header class="form-head"><h3>${title}</h3>${isBytes ? html`<span class="none">as base64</span>`
        : html`<${State} tone=${looksJson ? "good" : wasJson || isHidden ? "bad" : "none"}>${looksJson ? "JSON" : "no JSON"}<//>`}</header>
      <${PayloadEditor} text=${first} isJson=${looksJson || wasJson} label=${title} onText=${(now: string) => (text.value = now)} />
      ${typeof itsKey === "string" && html`<label>Key
        <input class="code" value=${key.value} spellcheck=${false} onInput=${(event: Event) => (key.value = (event.currentTarget as HTMLInputElement).value)} /></label>`}
      <p class="actions"><button type="button" class="primary" disabled=${isBusy.value} onClick=${() => keep(true)}>${isChanged ? "Amend and replay" : "Replay as it is"}</button>
        <button type="button" disabled=${isBusy.value || !isChanged} onClick=${() => keep(false)}>Amend</button>
        <button type="button" onClick=${close}>Cancel</button></p>
      <p class="none">What came first is kept beside it, and the audit tells who amended it.</p></section>
    ${isOutgoing(letter) ? html`<${MadeOf} letter=${letter} />`
      : html`<${Preview} letter=${letter} body=${JSON.stringify({ ...payload(text.value, value), ...(key.value && { key: key.value }) })} />`}</div></div>`;
}

/** Where it would go, a moment after it was last changed. */
function Preview({ letter, body }: { letter: Letter; body: string }) {
  const told = useSignal<Told | null>(null);
  const error = useSignal<unknown>(null);
  const version = live.value?.flows[letter.flow]?.version;
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(() => {
      post<Told>("/api/explain", { ...JSON.parse(body), ...around(letter) }, abort.signal).then(
        (answer) => ((told.value = answer), (error.value = null)),
        (failure) => abort.signal.aborted || (error.value = failure),
      );
    }, told.value ? PAUSE_MS : 0);
    return () => (clearTimeout(timer), abort.abort());
  }, [body, version]);
  return html`<section class="panel now" aria-label="Where it would go" aria-live="polite"><h3>Where it would go now</h3>
    ${error.value ? html`<${Failure} error=${error.value} />` : !told.value ? html`<${Loading} what="Asking the rules" />` : null}
    ${told.value && html`<${Ends} ends=${told.value.goes_to} />
      ${told.value.goes_to.some((end) => end.to === "dead_letter") && html`<p><${RuleLink} of=${letter} ids=${[letter.id]} /></p>`}
      <${Explanation} told=${told.value} ends=${false} link=${(rule: string) => href(["flows", letter.flow], { rule })} />`}</section>`;
}

/** The record that it was made of, to look at. */
function MadeOf({ letter }: { letter: Letter }) {
  const { value } = letter;
  const laid = typeof value === "string" ? laidOut(value) : null;
  return html`<section class="panel now" aria-label="What it was made of"><h3>The record that it was made of</h3>
    <p class="none">A replay sends what is edited here straight to <${Text} text=${letter.sink ?? ""} />; no rule is asked again.</p>
    <${Payload} raw=${laid ?? value} isJson=${laid !== null} label="The record" none="Nothing of it may be shown." /></section>`;
}

function beginning(value: Raw | null, isHidden: boolean): string {
  if (isHidden || value === null) return "";
  if (typeof value !== "string") return value.base64;
  return laidOut(value) ?? value;
}

/** What was written, as it is sent: JSON that came on one line goes on one line. */
function payload(text: string, before: Raw | null): { text: string } | { base64: string } {
  if (before !== null && typeof before !== "string") return { base64: text.trim() };
  return { text: before === null || !before.trim().includes("\n") ? onOneLine(text) : text };
}

/** What else is known of the record, as the rules see it. */
function around(letter: Letter): { [name: string]: unknown } {
  const reads = live.value?.flows[letter.flow]?.sources.includes(letter.source);
  const headers = Object.fromEntries((letter.headers ?? []).filter((one): one is [string, string] => typeof one[1] === "string"));
  return { flow: letter.flow, source: reads ? letter.source : null, headers, time: letter.record_time, meta: letter.attributes };
}

/** Open or close the editor of the letter that is shown. */
export function edit(isOpen: boolean): void {
  refine({ edit: isOpen ? 1 : null }, !isOpen);
}
