/**
 * The texts of the daemon's files, and what somebody has made of them here: kept in this tab until it is applied or
 * discarded, also when the page is left or loaded anew.
 */
import { computed, effect, signal } from "@preact/signals";
import { get } from "../../api/client.ts";
import type { FileTold } from "../../api/types.ts";

export interface Draft {
  text: string;
  /** What it was made of, and the hash by which the daemon knows that. */
  base: string;
  hash: string;
}

const KEY = "sluiceway.drafts";

/** As they lie on disk; null until they were asked for. */
export const files = signal<readonly FileTold[] | null>(null);
export const filesError = signal<unknown>(null);
/** By path; only texts that differ from what they were made of. */
export const drafts = signal<Readonly<Record<string, Draft>>>(kept());

/** Those of files that the configuration has; others are kept, but the daemon knows nothing of them. */
export const current = computed<Readonly<Record<string, Draft>>>(() =>
  Object.fromEntries(Object.entries(drafts.value).filter(([path]) => fileOf(path))),
);
/** The paths that were changed. */
export const edited = computed(() => Object.keys(current.value));
/** Those of which the file on disk is another one by now. */
export const conflicts = computed(() =>
  (files.value ?? []).filter(({ path, hash }) => path in drafts.value && drafts.value[path]?.hash !== hash),
);

/** Ask for the files. What was known stays when that fails. */
export async function loadFiles(): Promise<void> {
  try {
    files.value = (await get<{ files: FileTold[] }>("/api/files")).files;
    filesError.value = null;
    for (const file of files.value) if (drafts.value[file.path]?.text === file.text) discard(file.path);
  } catch (error) {
    filesError.value = error;
  }
}

export function fileOf(path: string): FileTold | undefined {
  return files.value?.find((file) => file.path === path);
}

/** The text as it is here. */
export function textOf(path: string): string {
  return drafts.value[path]?.text ?? fileOf(path)?.text ?? "";
}

/** Somebody wrote. A text that is as on disk is no draft. */
export function edit(path: string, text: string): void {
  const file = fileOf(path);
  const before = drafts.value[path];
  if (!file || text === textOf(path)) return;
  const base = before ?? { base: file.text, hash: file.hash };
  if (text === base.base && base.hash === file.hash) discard(path);
  else drafts.value = { ...drafts.value, [path]: { text, base: base.base, hash: base.hash } };
}

/** Take the file's own text again. */
export function discard(path: string): void {
  const { [path]: _, ...others } = drafts.value;
  drafts.value = others;
}

/** Go on from what is on disk now, with the text as it is here. */
export function keepMine(path: string): void {
  const [file, draft] = [fileOf(path), drafts.value[path]];
  if (file && draft) drafts.value = { ...drafts.value, [path]: { text: draft.text, base: file.text, hash: file.hash } };
}

/** The edited texts, as the daemon takes them to look at. */
export function textsOf(all: Readonly<Record<string, Draft>> = current.value): Record<string, string> {
  return Object.fromEntries(Object.entries(all).map(([path, { text }]) => [path, text]));
}

function kept(): Record<string, Draft> {
  try {
    return JSON.parse(sessionStorage.getItem(KEY) ?? "{}") as Record<string, Draft>;
  } catch {
    return {};
  }
}

effect(() => {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(drafts.value));
  } catch {
    // more than the browser keeps: then it lasts as long as the page
  }
});

addEventListener("beforeunload", (event) => {
  if (edited.value.length) event.preventDefault();
});

/** A path without the folder that all files share. */
export function shortPath(path: string): string {
  const folder = files.value?.find(({ kind }) => kind === "main")?.path.replace(/[^/]*$/, "") ?? "";
  return folder && path.startsWith(folder) ? path.slice(folder.length) : path;
}
