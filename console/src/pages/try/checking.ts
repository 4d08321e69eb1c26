/** What `check` and `test` say of the texts as they are here, a moment after each change. */
import { computed, effect, signal } from "@preact/signals";
import { ApiError, post, type Fault } from "../../api/client.ts";
import { files, textsOf } from "./drafts.ts";
import type { CheckTold, FailedTest } from "./told.ts";

export interface Finding extends Fault {
  tone: "bad" | "warn";
}

interface Checked {
  /** Whether the texts are newer than what is said. */
  isOld: boolean;
  findings: readonly Finding[];
  tests: { run: number; failed: readonly FailedTest[] } | null;
  /** That it could not be checked. */
  error: unknown;
}

const PAUSE_MS = 350;

export const checked = signal<Checked>({ isOld: true, findings: [], tests: null, error: null });
export const faults = computed(() => checked.value.findings.filter(({ tone }) => tone === "bad"));
export const warnings = computed(() => checked.value.findings.filter(({ tone }) => tone === "warn"));

/** Whether a fault is one of this file: it may be named by its whole path. */
export function isOf(file: string, path: string): boolean {
  return file === path || file.endsWith(`/${path}`) || path.endsWith(`/${file}`);
}

/** Check each text that is written from now on; the answer ends it. */
export function checkAsWritten(): () => void {
  let timer = 0;
  let abort = new AbortController();
  const stop = effect(() => {
    const texts = textsOf();
    if (!files.value) return;
    clearTimeout(timer);
    abort.abort();
    abort = new AbortController();
    const { signal } = abort;
    checked.value = { ...checked.peek(), isOld: true };
    timer = window.setTimeout(() => void check(texts, signal), PAUSE_MS);
  });
  return () => {
    stop();
    clearTimeout(timer);
    abort.abort();
  };
}

async function check(texts: Record<string, string>, signal: AbortSignal): Promise<void> {
  try {
    const told = await post<CheckTold>("/api/check", { files: texts }, signal);
    const findings = [...toned(told.faults, "bad"), ...toned(told.warnings, "warn")];
    checked.value = { isOld: false, findings, tests: told.tests, error: null };
  } catch (error) {
    if (signal.aborted) return;
    const isRefused = error instanceof ApiError && error.faults.length > 0;
    const findings = isRefused ? toned(error.faults, "bad") : checked.peek().findings;
    checked.value = { isOld: false, findings, tests: null, error: isRefused ? null : error };
  }
}

function toned(found: readonly Fault[], tone: Finding["tone"]): Finding[] {
  return found.map((fault) => ({ ...fault, tone }));
}
