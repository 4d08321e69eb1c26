/** Configuration: what runs, how the last reload ended, and the files. Secrets are never in it. */
import { useSignal } from "@preact/signals";
import { post } from "../../api/client.ts";
import { live } from "../../api/live.ts";
import type { FileTold, Live, Reload } from "../../api/types.ts";
import { href } from "../../app/route.ts";
import { html } from "../../html.ts";
import { ago, clock, count, duration, exactly, plural } from "../../parts/format.ts";
import { complain, Failure, Loading, say } from "../../parts/notes.ts";
import { Text } from "../../parts/payload.ts";
import { State } from "../../parts/state.ts";
import { useGet } from "../../parts/use.ts";
import { Yaml } from "./yaml.ts";

export function ConfigurationPage() {
  const told = live.value;
  const status = useGet<{ version: string; config: { files: string[] } }>("/api/status").data;
  if (!told) return html`<${Loading} />`;
  return html`<div class="configuration"><header class="page-head"><div><h1>Configuration</h1>
      <p class="none">What runs, and the files it was read from. Values that are filled in from the environment or from files are not shown.</p></div>
      <p class="actions"><${ReloadButton} /></p></header>
    <section class="panel" aria-label="What runs"><dl class="facts runs">
      <div><dt>state</dt><dd><${State} tone=${told.ready ? "good" : "bad"}>${told.state}<//></dd></div>
      <div><dt>version</dt><dd><code>${told.config.version}</code></dd></div>
      ${status && html`<div><dt>Sluiceway</dt><dd>${status.version}</dd></div>`}
      ${told.started && html`<div><dt>started</dt><dd title=${exactly(told.started)}>${clock(told.started)}, ${duration(told.time - told.started)} ago</dd></div>`}
      <div><dt>has</dt><dd>${plural(Object.keys(told.sources).length, "source")}, ${plural(Object.keys(told.flows).length, "flow")}, ${plural(Object.keys(told.sinks).length, "sink")}</dd></div>
    </dl><${LastReload} last=${told.config.last_reload} now=${told.time} /></section>
    <${Tables} told=${told} /><${Files} key=${`${told.config.version} ${told.config.last_reload?.time}`} /></div>`;
}

function ReloadButton() {
  const isBusy = useSignal(false);
  async function reload(): Promise<void> {
    isBusy.value = true;
    try {
      const { changes } = await post<{ changes: Record<string, Record<string, string[]>> }>("/api/reload");
      const changed = Object.values(changes).flatMap((kind) => Object.values(kind).flat()).length;
      say(changed ? `Reloaded: ${plural(changed, "component")} changed` : "Reloaded: nothing changed");
    } catch (error) {
      complain(error);
    }
    isBusy.value = false;
  }
  return html`<button type="button" onClick=${reload} disabled=${isBusy.value}>Reload the files</button>`;
}

function LastReload({ last, now }: { last: Reload | null; now: number }) {
  if (!last) return html`<p class="none">The files were not reloaded since the start.</p>`;
  return html`<div class=${last.successful ? "" : "because bad"}><p><${State} tone=${last.successful ? "good" : "bad"}>
      ${last.successful ? "The last reload was taken" : "The last reload was refused"}<//>
      ${" "}<span class="none" title=${exactly(last.time)}>${ago(last.time, now)}, by ${last.cause}</span></p>
    ${last.faults.length > 0 && html`<ul class="faults">${last.faults.slice(0, 50).map((fault) => html`<li><code><${Text} text=${`${fault.file}:${fault.line}:${fault.column}`} /></code>
      <span><${Text} text=${fault.what} longest=${1000} />${fault.hint && html`<span class="none"> <${Text} text=${fault.hint} longest=${1000} /></span>`}</span></li>`)}</ul>`}</div>`;
}

function Tables({ told }: { told: Live }) {
  const tables = Object.entries(told.tables);
  if (!tables.length) return null;
  return html`<section class="panel" aria-labelledby="tables"><h2 id="tables">Tables</h2><table class="small"><thead><tr><th>table</th><th>type</th>
      <th class="number">rows</th><th class="number">age</th><th>state</th></tr></thead><tbody>${tables.map(([name, table]) => html`<tr><td><${Text} text=${name} /></td>
      <td>${table.type}</td><td class="number">${count(table.rows)}</td><td class="number">${duration(Math.round(table.age_seconds))}</td>
      <td>${table.error ? html`<${State} tone="warn"><${Text} text=${table.error} /><//>` : html`<${State} tone="good">fresh<//>`}</td></tr>`)}</tbody></table></section>`;
}

function Files() {
  const { data, error, again } = useGet<{ files: FileTold[] }>("/api/files");
  const files = data?.files ?? [];
  return html`<section aria-labelledby="files"><h2 id="files">Files</h2>
    ${error ? html`<${Failure} error=${error} again=${again} />` : null}
    ${files.map((file) => html`<details class="file panel" key=${file.path} open=${files.length < 4 && file.kind === "main"}><summary><span class="file-path"><${Text} text=${file.path} /></span>
      <span class="none">${file.kind === "main" ? "the daemon's file" : file.kind}</span>
      ${!file.is_running && html`<${State} tone="warn">not what runs<//>`}${file.read_only && html`<span class="none">read-only</span>`}</summary>
      ${file.kind === "rules" && file.flow && html`<p class="actions"><a class="button" href=${href(["try", file.flow])}>Change and try</a></p>`}
      <${Yaml} text=${file.text} label=${file.path} /></details>`)}
    ${!error && data && !files.length && html`<p class="none">There are none.</p>`}</section>`;
}

