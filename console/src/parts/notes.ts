/** What is said in passing (`say`, `complain`), what is said instead of a page or part (`Failure`, `Empty`), dialogs. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ApiError } from "../api/client.ts";
import { html, type Child } from "../html.ts";
import { Text } from "./payload.ts";
import { Sign, type Tone } from "./state.ts";

interface Note {
  id: number;
  tone: Tone;
  text: string;
}

const SHOWN_MS = 6_000;
const notes = signal<readonly Note[]>([]);
let last = 0;

/** Say that something was done; it goes away by itself. */
export function say(text: string, tone: Tone = "good"): void {
  const note = { id: ++last, tone, text };
  notes.value = [...notes.value.slice(-3), note];
  if (tone !== "bad") setTimeout(() => dismiss(note.id), SHOWN_MS);
}

/** Say why something failed; it stays until it is put away. */
export function complain(error: unknown): void {
  say(error instanceof Error ? error.message : String(error), "bad");
}

function dismiss(id: number): void {
  notes.value = notes.value.filter((note) => note.id !== id);
}

/** Where notes appear: once, in the shell. */
export function Notes() {
  return html`<div class="notes" role="status" aria-live="polite">${notes.value.map(
    (note) => html`<div class="note ${note.tone}" key=${note.id}><${Sign} tone=${note.tone} /><${Text} text=${note.text} />
      <button type="button" class="quiet" aria-label="Dismiss" onClick=${() => dismiss(note.id)}>✕</button></div>`,
  )}</div>`;
}

/** That something could not be had, with the daemon's words. */
export function Failure({ error, again }: { error: unknown; again?: () => void }) {
  const status = error instanceof ApiError && error.status ? ` (${error.status})` : "";
  return html`<div class="failure" role="alert"><${Sign} tone="bad" />
    <${Text} text=${`${error instanceof Error ? error.message : String(error)}${status}`} />
    ${again && html`<button type="button" onClick=${again}>Try again</button>`}</div>`;
}

/** That there is nothing, and what would make it something. */
export function Empty({ title, isPage = false, children }: { title: string; isPage?: boolean; children?: Child }) {
  const Title = isPage ? "h1" : "p";
  return html`<div class="empty"><${Title} class="empty-title">${title}<//>${children}</div>`;
}

/** That something is on its way; said at once, drawn after a moment. */
export function Loading({ what = "Loading" }: { what?: string }) {
  return html`<p class="loading" role="status">${what} …</p>`;
}

interface Asked {
  title: string;
  close: () => void;
  children: Child;
}

/** A dialog above the page; Escape closes it. */
export function Dialog({ title, close, children }: Asked) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return html`<dialog ref=${dialog} aria-label=${title} onClose=${close}
    onClick=${(event: Event) => event.target === dialog.current && dialog.current?.close()}>
    <div class="dialog"><header><h2>${title}</h2><button type="button" class="quiet" aria-label="Close"
      onClick=${() => dialog.current?.close()}>✕</button></header>${children}</div></dialog>`;
}
