/** Entries of the audit in a few words. */
import type { AuditEntry } from "../../api/types.ts";
import { plural } from "../../parts/format.ts";
import type { Tone } from "../../parts/state.ts";

type Detail = Record<string, unknown>;

/** What was done, beyond the action's name; empty where that says it. */
export function inWords(entry: AuditEntry): string {
  const detail = (typeof entry.detail === "object" && entry.detail !== null ? entry.detail : {}) as Detail;
  const say = WORDS[entry.action];
  return say ? say(detail) : "";
}

/** How an entry looks: what was refused is seen. */
export function toneOf(entry: AuditEntry): Tone {
  if (entry.action === "reload_refused") return "bad";
  if (entry.action === "purge") return "warn";
  return entry.action === "pause" || entry.action === "stop" ? "off" : "good";
}

const WORDS: Record<string, (detail: Detail) => string> = {
  start: (detail) => `with ${plural(names(detail.flows).length, "flow")}`,
  stop: (detail) => `${text(detail.why)}${detail.drained === false ? ", not drained" : ""}`,
  reload: (detail) => {
    const parts = new Set([...names(detail.flows).map((name) => `flow ${name}`), ...changedParts(detail.changes)]);
    return `${[...parts].join(", ") || "nothing changed"}: ${text(detail.cause)}`;
  },
  reload_refused: (detail) => `${plural(Number(detail.count) || 0, "fault")}: ${Array.isArray(detail.faults) ? text(detail.faults[0]) : ""}`,
  pause: (detail) => text(detail.source),
  resume: (detail) => text(detail.source),
  replay: (detail) => `${text(detail.step)}${detail.letters === undefined ? "" : `: ${letters(detail.letters)}`}`,
  purge: (detail) => `${text(detail.step)}: ${detail.purged === undefined ? letters(detail.letters) : plural(Number(detail.purged), "letter")}`,
  amend: (detail) => `letter ${text(detail.letter)} of ${text(detail.flow)}: ${names(detail.changed).join(", ")}`,
  apply: (detail) => changesOf(detail).map((change) => change.path.split("/").at(-1)).join(", "),
};

/** Of files that were changed: each with what was changed in it, as a unified diff. */
export function changesOf(detail: unknown): { path: string; diff: string }[] {
  const files = (detail as { files?: unknown } | null)?.files;
  if (!Array.isArray(files)) return [];
  return files.filter((file) => typeof file?.path === "string" && typeof file?.diff === "string");
}

/** What a reload added, removed or changed: `sink vip`; of settings, their names. */
function changedParts(changes: unknown): string[] {
  if (typeof changes !== "object" || changes === null) return [];
  return Object.entries(changes).flatMap(([kind, how]) => {
    const found = typeof how === "object" && how !== null ? Object.values(how).flatMap(names) : [];
    return found.map((name) => (kind === "settings" ? name : `${kind.replace(/s$/, "")} ${name}`));
  });
}

/** An entry's detail but for these. */
export function withoutChanges(detail: unknown): unknown {
  return changesOf(detail).length ? { ...(detail as Detail), files: undefined } : detail;
}

function letters(value: unknown): string {
  return typeof value === "string" ? `${value} letters` : `letters with ${JSON.stringify(value)}`;
}

function names(value: unknown): string[] {
  if (Array.isArray(value)) return value.map(text);
  return typeof value === "object" && value !== null ? Object.keys(value) : [];
}

function text(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
