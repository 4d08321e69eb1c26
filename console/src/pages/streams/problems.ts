/** What is wrong now: each thing once, the worst first, with where to look. */
import { computed } from "@preact/signals";
import { live } from "../../api/live.ts";
import type { Live } from "../../api/types.ts";
import { href } from "../../app/route.ts";
import { count, duration, plural } from "../../parts/format.ts";
import type { Tone } from "../../parts/state.ts";

export interface Problem {
  tone: Tone;
  /** The component: `sink/vip`; empty for the daemon as a whole. */
  of: string;
  /** In a few words. */
  what: string;
  /** In the words of whoever told it; it may be text from outside. */
  why: string;
  link: string;
}

const BEHIND_SECONDS = 30;
const ORDER: readonly Tone[] = ["bad", "warn", "busy", "off"];

/** All that is wrong. */
export const problems = computed<readonly Problem[]>(() => {
  const told = live.value;
  if (!told) return [];
  const found = [...ofDaemon(told), ...ofSources(told), ...ofSinks(told), ...ofFlows(told), ...ofTables(told)];
  return found.sort((one, other) => ORDER.indexOf(one.tone) - ORDER.indexOf(other.tone));
});

const byComponent = computed(() => Map.groupBy(problems.value, (problem) => problem.of));

/** Those of one component, such as `sink/vip`, the worst first. */
export function problemsOf(component: string): readonly Problem[] {
  return byComponent.value.get(component) ?? [];
}

function look(component: string): string {
  return href([], { at: component });
}

function* ofDaemon(told: Live): Iterable<Problem> {
  if (!told.ready) {
    yield { tone: "bad", of: "", what: `The daemon takes nothing in`, why: told.state, link: href(["configuration"]) };
  }
  if (told.config.last_reload?.successful === false) {
    const fault = told.config.last_reload.faults[0];
    const why = fault ? `${fault.file}:${fault.line}:${fault.column}: ${fault.what}` : "";
    yield { tone: "warn", of: "", what: "The last reload was refused", why, link: href(["configuration"]) };
  }
  if (told.dead_letters.error) {
    const what = "Dead letters cannot be written";
    yield { tone: "bad", of: "", what, why: told.dead_letters.error, link: href(["dead-letters"]) };
  }
}

function* ofSources(told: Live): Iterable<Problem> {
  for (const [name, source] of Object.entries(told.sources)) {
    const at = { of: `source/${name}`, link: look(`source/${name}`) };
    if (source.state === "paused" || source.state === "pausing") {
      yield { ...at, tone: "off", what: `Source ${name} is ${source.state}`, why: "nothing is read from it" };
    } else if (!source.connected && !source.ended && source.state === "running") {
      yield { ...at, tone: "bad", what: `Source ${name} is not connected`, why: source.error ?? "" };
    }
    const behind = Math.max(0, ...source.lag.map((lag) => lag.seconds ?? 0));
    if (behind >= BEHIND_SECONDS) {
      yield { ...at, tone: "warn", what: `Source ${name} is ${duration(behind)} behind`, why: "its oldest record has waited so long" };
    }
  }
}

function* ofSinks(told: Live): Iterable<Problem> {
  for (const [name, sink] of Object.entries(told.sinks)) {
    const at = { of: `sink/${name}`, link: look(`sink/${name}`) };
    const letters = sink.minute?.letters ?? 0;
    if (!sink.connected) yield { ...at, tone: "bad", what: `Sink ${name} is not connected`, why: sink.error ?? "" };
    else if (letters >= 1) {
      const why = sink.error ?? "";
      yield { ...at, tone: "bad", what: `Sink ${name} refuses records: ${count(letters)} in a minute`, why };
    } else if (sink.error) yield { ...at, tone: "warn", what: `Sink ${name} had an error`, why: sink.error };
    if (sink.queue.waiting > 0) {
      const why = `${plural(sink.queue.records, "record")} wait in memory, and its flows wait for room`;
      yield { ...at, tone: "warn", what: `The queue of sink ${name} is full`, why };
    }
    if (sink.buffer?.full) yield { ...at, tone: "bad", what: `The buffer of sink ${name} is full`, why: sink.buffer.file };
    if (sink.buffer?.error) yield { ...at, tone: "bad", what: `The buffer of sink ${name} fails`, why: sink.buffer.error };
  }
}

function* ofFlows(told: Live): Iterable<Problem> {
  const most = Object.keys(told.flows).map((name) => [name, told.dead_letters.kept[name] ?? 0] as const).sort((one, other) => other[1] - one[1]);
  for (const [name, kept] of most) {
    if (!kept) break;
    const more = told.flows[name]?.minute?.dead_letters ?? 0;
    const what = `${plural(kept, "dead letter")} of flow ${name}`;
    const why = more >= 1 ? `${count(more)} written in the last minute` : "";
    yield { tone: "warn", of: `flow/${name}`, what, why, link: href(["dead-letters"], { flow: name }) };
  }
}

function* ofTables(told: Live): Iterable<Problem> {
  for (const [name, table] of Object.entries(told.tables)) {
    if (table.error) {
      yield { tone: "warn", of: `table/${name}`, what: `Table ${name} cannot be refreshed`, why: table.error, link: href(["configuration"]) };
    }
  }
}
