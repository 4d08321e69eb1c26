/** Writing the texts to their files, and what came of it. */
import { signal } from "@preact/signals";
import { ApiError, at, get, post } from "../../api/client.ts";
import { live } from "../../api/live.ts";
import { href } from "../../app/route.ts";
import { html } from "../../html.ts";
import { plural } from "../../parts/format.ts";
import { Dialog, Failure, say } from "../../parts/notes.ts";
import { Text } from "../../parts/payload.ts";
import { State } from "../../parts/state.ts";
import { checked, faults } from "./checking.ts";
import { conflicts, current, discard, drafts, edited, fileOf, keepMine, loadFiles, shortPath } from "./drafts.ts";
import { TextDiff } from "./editor/text_diff.ts";
import { forgetPreviews, isCurrent } from "./preview.ts";
import type { Applied } from "./told.ts";

/** What was applied last, while the page is open. */
export const applied = signal<{ told: Applied; flows: readonly Written[] } | null>(null);

/** A flow of which a file was written, and what the reload changed of its rules. */
interface Written {
  name: string;
  changed: { version: string; added: string[]; removed: string[]; changed: string[] } | null;
}

const refused = signal<unknown>(null);
const isWriting = signal(false);

async function write(close: () => void): Promise<void> {
  const sent = current.value;
  const files = Object.fromEntries(Object.entries(sent).map(([path, { text, hash }]) => [path, { text, base_hash: hash }]));
  isWriting.value = true;
  refused.value = null;
  try {
    const told = await post<Applied>("/api/apply", { files });
    const flows = new Set(Object.keys(sent).flatMap((path) => fileOf(path)?.flow ?? []));
    await loadFiles();
    forgetPreviews();
    applied.value = { told, flows: await Promise.all([...flows].map(written)) };
    say(`Applied: version ${told.version.slice(0, 12)} runs`);
    close();
  } catch (error) {
    await refuse(error, close);
  } finally {
    isWriting.value = false;
  }
}

async function written(name: string): Promise<Written> {
  const { changed } = await get<Written>(at`/api/flows/${name}`).catch(() => ({ changed: null }));
  return { name, changed };
}

async function refuse(error: unknown, close: () => void): Promise<void> {
  refused.value = error;
  if (!(error instanceof ApiError)) return;
  if (error.status === 409) await loadFiles();
  if (conflicts.value.length) refused.value = null; // the dialog shows them
  if (error.faults.length) {
    checked.value = { ...checked.value, isOld: false, findings: error.faults.map((fault) => ({ ...fault, tone: "bad" as const })) };
    say("It was refused; nothing was changed", "bad");
    close();
  }
}

/** What would be written, to be confirmed. */
export function ApplyDialog({ close, download }: { close: () => void; download: () => void }) {
  const shut = () => {
    refused.value = null;
    close();
  };
  const failed = checked.value.tests?.failed.length ?? 0;
  const isFaulty = faults.value.length + failed > 0;
  const isReadOnly = refused.value instanceof ApiError && refused.value.status === 403;
  const kept = Object.keys(current.value).map(fileOf).filter((file) => file?.read_only);
  const many = edited.value.length;
  const what = many === 1 ? "the file" : `${many} files`;
  const isNothing = many === 0 && !isWriting.value;
  if (conflicts.value.length) return html`<${Dialog} title="Apply" close=${shut}><div class="apply"><${Conflicts} />
    <p class="none">Nothing is written before it is said whose text is to stand.</p></div><//>`;
  return html`<${Dialog} title="Apply" close=${shut}><div class="apply">
    ${isNothing ? html`<p>Nothing is left to be written: the text is that on disk.</p>` : null}
    ${Object.entries(current.value).map(([path, { base, text }]) => html`<section aria-label=${shortPath(path)}>
      <h3><${Text} text=${shortPath(path)} /></h3><${TextDiff} before=${base} after=${text} label=${`What changes in ${shortPath(path)}`} /></section>`)}
    ${kept.map((file) => html`<p><${State} tone="off"><${Text} text=${`${shortPath(file?.path ?? "")} cannot be written here: ${file?.read_only}`} /><//></p>`)}
    ${isFaulty && html`<p><${State} tone="bad">${faults.value.length ? plural(faults.value.length, "fault") : plural(failed, "failing test")}<//>
      : the daemon would refuse it.</p>`}
    ${!isFaulty && !isCurrent("live") && !isCurrent("dead") && html`<p><${State} tone="warn">Not previewed as it is now<//></p>`}
    ${refused.value ? html`<${Failure} error=${refused.value} />` : null}
    ${(isReadOnly || kept.length > 0) && html`<p>The daemon cannot write it: where the configuration comes from a repository or a ConfigMap, put the text there.
      <button type="button" onClick=${download}>Download the text</button></p>`}
    ${!isNothing && html`<p class="none">Writes ${what}, then reloads at once. If the reload is refused, ${many === 1 ? "the file is" : "they are"} as before.</p>`}
    <p class="actions"><button type="button" class="primary" disabled=${isFaulty || isWriting.value || !many || kept.length > 0} onClick=${() => void write(shut)}>
      ${isWriting.value ? "Writing …" : `Write ${what} and reload`}</button>
      <button type="button" onClick=${shut}>Not now</button></p></div><//>`;
}

/** What was applied, and what can be done now. */
export function AppliedOf() {
  const last = applied.value;
  if (!last) return null;
  const { told, flows } = last;
  const kept = flows.map(({ name }) => [name, live.value?.dead_letters.kept[name] ?? 0] as const).filter(([, many]) => many > 0);
  const rules = flows.flatMap(({ changed }) => (["added", "removed", "changed"] as const).flatMap((how) =>
    (changed?.[how] ?? []).map((name) => `rule ${name} ${how}`),
  ));
  const changes = Object.entries(told.changes).flatMap(([kind, one]) =>
    (["added", "removed", "changed"] as const).flatMap((how) => one[how].map((name) => ({ kind: kind.replace(/s$/, ""), how, name }))),
  );
  return html`<section class="applied" role="status" aria-label="Applied"><${State} tone="good">Applied<//>
    <p>Version <code>${told.version.slice(0, 12)}</code> runs${changes.length ? ": " : "."}
      ${changes.map(({ kind, how, name }, place) => html`${place ? ", " : ""}${kind} ${kind === "flow" && how !== "removed"
        ? html`<a href=${href(["flows", name])}><${Text} text=${name} /></a>` : html`<b><${Text} text=${name} /></b>`} ${how}`)}${rules.length > 0 && html` <span class="none">(<${Text} text=${rules.join(", ")} />)</span>`}</p>
    <p class="actions">${kept.map(([flow, many]) => html`<a class="button primary" href=${href(["dead-letters"], { flow, rules: "now" })}>
      ${many === 1 ? "Its dead letter" : `Its ${plural(many, "dead letter")}`} can be replayed</a>`)}
      <button type="button" class="quiet" aria-label="Dismiss" onClick=${() => (applied.value = null)}>✕</button></p></section>`;
}

/** That files were changed on disk since somebody began to write here. */
export function Conflicts() {
  return html`${conflicts.value.map((file) => {
    const draft = drafts.value[file.path];
    return html`<section class="conflict" role="alert" aria-label="Changed on disk">
      <p><${State} tone="warn">Changed on disk<//> <b><${Text} text=${shortPath(file.path)} /></b> is another one since you began to write here.</p>
      <details><summary>What changed on disk</summary>
        <${TextDiff} before=${draft?.base ?? ""} after=${file.text} label="What changed on disk" /></details>
      <p class="actions"><button type="button" onClick=${() => discard(file.path)}>Load it, and give up mine</button>
        <button type="button" onClick=${() => keepMine(file.path)}>Keep mine, to be written over it</button></p></section>`;
  })}`;
}
