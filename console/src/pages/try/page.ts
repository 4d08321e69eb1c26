/** Try it: the rules files in an editor, what is wrong with them, what they would do; and applying them. */
import { Text as Document } from "@codemirror/state";
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { at as path, token } from "../../api/client.ts";
import { live } from "../../api/live.ts";
import { useKeys } from "../../app/keys.ts";
import { href, refine, route } from "../../app/route.ts";
import { html } from "../../html.ts";
import { plural } from "../../parts/format.ts";
import { Empty, Failure, Loading } from "../../parts/notes.ts";
import { Text } from "../../parts/payload.ts";
import { State } from "../../parts/state.ts";
import { useGet } from "../../parts/use.ts";
import { AppliedOf, ApplyDialog, Conflicts } from "./applying.ts";
import { checkAsWritten, checked, faults, isOf } from "./checking.ts";
import { DifferenceOf, type On } from "./difference.ts";
import { discard, drafts, edit, edited, fileOf, files, filesError, loadFiles, shortPath, textOf } from "./drafts.ts";
import { Editor } from "./editor/editor.ts";
import type { Facts } from "./editor/facts.ts";
import { namesUnder, ruleAt } from "./editor/outline.ts";
import { Findings } from "./findings.ts";
import { isCurrent, preview, previews } from "./preview.ts";
import type { FileTold } from "../../api/types.ts";
import type { Field, RuleCounted } from "./told.ts";

export function TryPage({ flow }: { flow: string | null }) {
  useEffect(checkAsWritten, [token.value]);
  // A reload, also one that was refused, tells that files on disk are others now.
  const read = useComputed(() => JSON.stringify([live.value?.config.version, live.value?.config.last_reload?.time]));
  useEffect(() => void loadFiles(), [token.value, read.value]);
  const told = files.value;
  if (!told) return filesError.value ? html`<${Failure} error=${filesError.value} again=${loadFiles} />` : html`<${Loading} what="Reading the files" />`;
  const file = chosen(told, flow);
  if (!file) {
    const title = flow ? `There is no flow ${flow}` : "There are no files";
    return html`<${Empty} isPage title=${title}><p><a href=${href(["try"])}>To the other files</a></p><//>`;
  }
  return html`<${Workbench} file=${file} />`;
}

/** The file that the address means: by name, by flow, else one that is being written, else the first rules file. */
function chosen(told: readonly FileTold[], flow: string | null): FileTold | undefined {
  const named = route.value.query.get("file");
  const found = named ? told.find((file) => isOf(named, file.path)) : undefined;
  if (found) return found;
  if (flow) return told.find((file) => file.flow === flow && file.kind === "rules");
  const begun = told.find((file) => file.path in drafts.value);
  return begun ?? told.find((file) => file.kind === "rules") ?? told[0];
}

function addressOf(file: FileTold, more: Record<string, string | number | null> = {}): string {
  const on = route.value.query.get("on");
  return href(file.flow ? ["try", file.flow] : ["try"], { file: shortPath(file.path), on, ...more });
}

function Workbench({ file }: { file: FileTold }) {
  const isApplying = useSignal(false);
  const goal = useSignal<{ line: number; column: number; turn: number } | null>(null);
  const here = useSignal(1);
  const line = Number(route.value.query.get("line")) || 0;
  const on: On = route.value.query.get("on") === "dead" ? "dead" : "live";
  const ids = (route.value.query.get("letters") ?? "").split(",").map(Number).filter((id) => id > 0);
  const facts = useFacts(file);
  const isChanged = file.path in drafts.value;
  const text = textOf(file.path);
  const findings = useMemo(() => checked.value.findings.filter((finding) => isOf(finding.file, file.path)), [checked.value.findings, file.path]);
  useEffect(() => {
    if (line) goal.value = { line, column: 1, turn: (goal.value?.turn ?? 0) + 1 };
  }, [line, file.path]);
  const run = () => void preview(on, file.path, ids);
  // What lies on disk by now decides what the dialog shows: what would be written, or first whose text is to stand.
  const apply = async () => {
    if (edited.value.length) await loadFiles();
    isApplying.value = edited.value.length > 0;
  };
  useShortcuts(run, () => void apply());
  const goTo = (named: string, at: number, column: number) => {
    const other = files.value?.find((each) => isOf(named, each.path));
    if (other && other.path !== file.path) location.hash = addressOf(other, { line: at });
    else goal.value = { line: at, column, turn: (goal.value?.turn ?? 0) + 1 };
  };
  return html`<div class="try"><header class="try-head"><h1>Try it</h1><${FileChoice} file=${file} />
      <${StateOf} file=${file} />
      <div class="actions"><button type="button" onClick=${() => download(file)}>Download</button>
        <button type="button" disabled=${!isChanged} onClick=${() => discard(file.path)}>Discard</button>
        <button type="button" onClick=${run} title="Ctrl Enter" aria-keyshortcuts="Control+Enter">Preview</button>
        <button type="button" class="primary" disabled=${!edited.value.length} onClick=${apply} title="Ctrl S" aria-keyshortcuts="Control+S">Apply …</button></div></header>
    ${!isApplying.value && html`<${Conflicts} />`}<${AppliedOf} />
    <div class="try-body"><section class="try-editor" aria-label="Text">
        <${Editor} path=${file.path} label=${`Text of ${shortPath(file.path)}`} textNow=${() => textOf(file.path)} isRules=${file.kind !== "schema"}
          isReadOnly=${file.text === "" && Boolean(file.read_only)} findings=${findings} facts=${facts} goal=${goal.value}
          onText=${(now: string) => edit(file.path, now)} onLine=${(now: number) => (here.value = now)} />
        <${Foot} text=${text} line=${here.value} facts=${facts} /></section>
      <div class="try-side"><${Findings} go=${goTo} /><${PreviewOf} on=${on} run=${run} ids=${ids} /></div></div>
    ${isApplying.value && html`<${ApplyDialog} close=${() => (isApplying.value = false)} download=${() => download(file)} />`}</div>`;
}

function FileChoice({ file }: { file: FileTold }) {
  const kinds = [["rules", "Rules"], ["schema", "Schemas"], ["main", "The daemon's file"]] as const;
  const choose = (event: Event) => {
    const other = fileOf((event.currentTarget as HTMLSelectElement).value);
    if (other) location.hash = addressOf(other);
  };
  return html`<label class="file-choice"><span class="hidden">File</span><select onChange=${choose} value=${file.path}>
    ${kinds.map(([kind, label]) => {
      const some = (files.value ?? []).filter((each) => each.kind === kind);
      return some.length > 0 && html`<optgroup label=${label}>${some.map((each) => html`<option value=${each.path} selected=${each.path === file.path}>
        ${shortPath(each.path)}${each.path in drafts.value ? " (edited)" : ""}</option>`)}</optgroup>`;
    })}</select></label>`;
}

/** Whether the text is that of the file, and whether the file can be written. */
function StateOf({ file }: { file: FileTold }) {
  const isChanged = file.path in drafts.value;
  const others = edited.value.length - (isChanged ? 1 : 0);
  return html`<p class="try-state">${isChanged ? html`<${State} tone="busy">edited, not applied<//>`
      : file.is_running ? html`<${State} tone="good">as it runs<//>` : html`<${State} tone="warn">on disk, not running yet<//>`}
    ${others > 0 && html`<span class="none">and ${plural(others, "other file")} edited</span>`}
    ${file.read_only && html`<${State} tone="off"><${Text} text=${`cannot be applied here: ${file.read_only}`} /><//>`}</p>`;
}

/** What the line is about, for whoever has no pointer; and how to leave the editor. */
function Foot({ text, line, facts }: { text: string; line: number; facts: Facts }) {
  const rule = useMemo(() => ruleAt(documentOf(text), line), [text, line]);
  const counted = rule && facts.rules.get(rule.name);
  return html`<footer class="try-foot"><span>line ${line}</span>
    ${rule && html`<span>rule <b><${Text} text=${rule.name || "without a name"} /></b>${counted && html`:
      ${" "}${plural(counted.records, "record")}${counted.errors > 0 && html`, <span class="errors">${plural(counted.errors, "error")}</span>`}`}</span>`}
    ${faults.value.length > 0 && html`<a class="foot-check" href="#check" onClick=${toCheck}><${State} tone="bad">${plural(faults.value.length, "fault")}<//></a>`}
    <span id="editor-keys" class="keys-told"><kbd>Ctrl Space</kbd> completes, <kbd>Esc</kbd> <kbd>Tab</kbd> leaves the text</span></footer>`;
}

function toCheck(event: Event): void {
  event.preventDefault();
  document.getElementById("check")?.scrollIntoView({ block: "center" });
}

function PreviewOf({ on, run, ids }: { on: On; run: () => void; ids: readonly number[] }) {
  const one = previews.value[on];
  const tab = (which: On, label: string) => html`<button type="button" aria-pressed=${on === which}
    onClick=${() => refine({ on: which === "live" ? null : which })}>${label}</button>`;
  return html`<section class="panel preview" aria-label="Preview" aria-busy=${one?.isRunning ? "true" : null}>
    <header><h2>Preview</h2><div class="on-what" role="group" aria-label="On what">${tab("live", "samples")}${tab("dead", ids.length ? plural(ids.length, "dead letter") : "dead letters")}</div></header>
    ${!one && html`<p class="none">What this text would do otherwise with ${on === "live" ? "the sample of records that is kept" : "the dead letters, if they were replayed"}.
      Nothing is written or sent.</p>`}
    ${one?.isRunning && html`<p class="none" role="status">Trying …</p>`}
    ${one && !one.isRunning && !isCurrent(on) && html`<p><${State} tone="warn">Of an earlier text<//></p>`}
    ${one?.error ? html`<${Failure} error=${one.error} />` : null}
    ${one?.told && html`<${DifferenceOf} told=${one.told} on=${on} />`}
    <p class="actions"><button type="button" onClick=${run} disabled=${one?.isRunning}>${one ? "Preview again" : "Preview"}</button> <span class="none"><kbd>Ctrl Enter</kbd></span></p></section>`;
}

function useShortcuts(run: () => void, apply: () => void): void {
  useKeys([
    { keys: "Ctrl Enter", does: "Preview what is written", run },
    { keys: "Ctrl S", does: "Apply what is written", run: apply },
  ]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
      const does = event.key === "Enter" ? run : event.key.toLowerCase() === "s" ? apply : null;
      if (!does) return;
      event.preventDefault();
      does();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  });
}

const HITS_SECONDS = 5;
const FIELDS_SECONDS = 30;
const NO_FIELDS: readonly Field[] = [];

/** What is known of the flow that the file is of. */
function useFacts(file: FileTold): Facts {
  const { flow } = file;
  const detail = useGet<{ detail: RuleCounted[] }>(flow === null ? null : path`/api/flows/${flow}`, {}, HITS_SECONDS).data;
  const fields = useGet<{ fields: Field[] }>(flow === null ? null : path`/api/flows/${flow}/fields`, {}, FIELDS_SECONDS).data;
  const main = (files.value ?? []).filter(({ kind }) => kind === "main").map((each) => documentOf(textOf(each.path)));
  const under = (key: string) => main.flatMap((text) => namesUnder(text, [key]));
  const known = (key: "sinks" | "sources") => [...new Set([...under(key), ...Object.keys(live.value?.[key] ?? {})])].sort();
  const names = JSON.stringify([known("sinks"), known("sources")]);
  return useMemo(() => {
    const [sinks, sources] = JSON.parse(names) as [string[], string[]];
    const rules = new Map((detail?.detail ?? []).map((rule) => [rule.name, rule]));
    return { fields: fields?.fields ?? NO_FIELDS, sinks, sources, rules };
  }, [detail, fields, names]);
}

const documents = new Map<string, Document>();
const DOCUMENTS = 8;

/** The text in lines: the same for the same text, so that its outline is made once. */
function documentOf(text: string): Document {
  const found = documents.get(text) ?? Document.of(text.split("\n"));
  documents.delete(text);
  documents.set(text, found);
  for (const old of [...documents.keys()].slice(0, -DOCUMENTS)) documents.delete(old);
  return found;
}

function download(file: FileTold): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([textOf(file.path)], { type: "text/plain" }));
  link.download = file.path.split("/").at(-1) ?? "rules.yaml";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
