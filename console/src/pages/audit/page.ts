/** Audit: who changed what and when, the newest first. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { get } from "../../api/client.ts";
import type { AuditEntry } from "../../api/types.ts";
import { refine, route } from "../../app/route.ts";
import { html } from "../../html.ts";
import { clock, exactly } from "../../parts/format.ts";
import { complain, Empty, Failure, Loading } from "../../parts/notes.ts";
import { Payload, Text } from "../../parts/payload.ts";
import { Sign } from "../../parts/state.ts";
import { useGet } from "../../parts/use.ts";
import { changesOf, inWords, toneOf, withoutChanges } from "./words.ts";

const EVERY_SECONDS = 5;
const PAGE = 50;
const MOST = 1000;
const KINDS: Record<string, readonly string[]> = {
  "": [],
  changes: ["reload", "reload_refused", "apply"],
  letters: ["replay", "purge", "amend"],
  sources: ["pause", "resume"],
  life: ["start", "stop"],
};
const NAMES: Record<string, string> = {
  "": "Everything", changes: "Configuration", letters: "Dead letters", sources: "Sources", life: "Starts and stops",
};

interface Answer {
  entries: AuditEntry[];
  next: number | null;
}

export function AuditPage() {
  const kind = route.value.query.get("of") ?? "";
  return html`<div class="audit"><header class="page-head"><div><h1>Audit</h1>
      <p class="none">Who did what to this daemon. Each entry holds the hash of the one before, so that <code>sluiceway audit verify</code> sees
        whether any was changed.</p></div>
      <div class="choice" role="group" aria-label="Which entries">${Object.entries(NAMES).map(([key, name]) => html`<button type="button"
        aria-pressed=${key === kind ? "true" : "false"} onClick=${() => refine({ of: key || null }, false)}>${name}</button>`)}</div></header>
    <${Entries} key=${kind} actions=${KINDS[kind] ?? []} /></div>`;
}

function Entries({ actions }: { actions: readonly string[] }) {
  const { data, error, again } = useGet<Answer>("/api/audit", { newest: true, limit: PAGE, action: actions }, EVERY_SECONDS);
  const older = useSignal<readonly AuditEntry[]>([]);
  const next = useSignal<number | null | undefined>(undefined);
  useEffect(() => {
    if (data && next.value === undefined) next.value = data.next;
  }, [data]);
  if (!data) return error ? html`<${Failure} error=${error} again=${again} />` : html`<${Loading} />`;
  const newest = data.entries;
  const known = new Map([...newest, ...older.value].map((entry) => [entry.id, entry]));
  const entries = [...known.values()].sort((one, other) => other.id - one.id);
  async function more(): Promise<void> {
    try {
      // What has come since the first page moved it on: nothing between may be left out.
      const before = older.value.at(-1)?.id ?? Math.min(...newest.map((entry) => entry.id));
      const page = await get<Answer>("/api/audit", { newest: true, limit: PAGE, action: actions, before });
      older.value = [...older.value, ...page.entries].slice(0, MOST);
      next.value = page.next;
    } catch (failed) {
      complain(failed);
    }
  }
  if (!entries.length) return html`<${Empty} title="Nothing of this kind was done yet" />`;
  return html`${error ? html`<${Failure} error=${error} again=${again} />` : null}
    <ol class="entries">${entries.map((entry) => html`<${EntryOf} key=${entry.id} entry=${entry} />`)}</ol>
    ${next.value && older.value.length < MOST ? html`<p class="actions"><button type="button" onClick=${more}>Show older ones</button></p>` : null}`;
}

function EntryOf({ entry }: { entry: AuditEntry }) {
  const changes = changesOf(entry.detail);
  return html`<li><details><summary><${Sign} tone=${toneOf(entry)} />
      <time title=${exactly(entry.time)}>${clock(entry.time)}</time><b>${entry.action.replaceAll("_", " ")}</b>
      <span class="entry-what"><${Text} text=${inWords(entry)} longest=${200} /></span><span class="none"><${Text} text=${entry.actor} longest=${80} /></span></summary>
    <div class="entry-all"><div>${changes.map((change) => html`<p class="none"><${Text} text=${change.path} /></p>
      <${Payload} raw=${change.diff} label=${`What was changed in ${change.path}`} />`)}
      ${changes.length > 0 && entry.action === "apply" ? null : html`<${Payload} json=${withoutChanges(entry.detail)} label="The detail" />`}</div><dl class="facts">
      <div><dt>when</dt><dd>${exactly(entry.time)}</dd></div>
      <div><dt>entry</dt><dd>${entry.id}</dd></div><div><dt>version</dt><dd><code>${entry.version}</code></dd></div>
      <div><dt>hash</dt><dd><code>${entry.hash}</code></dd></div><div><dt>before it</dt><dd><code>${entry.previous}</code></dd></div></dl></div></details></li>`;
}
