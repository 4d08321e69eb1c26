/** What is said of a component on its node, in its lane and in its details: the same everywhere. */
import { counter, rate } from "../../api/live.ts";
import type { Live, Sink, Source } from "../../api/types.ts";
import { bytes, count, duration, perSecond, plural } from "../../parts/format.ts";
import type { Tone } from "../../parts/state.ts";
import { problemsOf } from "./problems.ts";

/** Records a second, of many together; null while none is known. */
export function sumOfRates(kind: "source" | "sink", names: readonly string[]): number | null {
  const known = names.map((name) => rate(counter[kind](name))).filter((value) => value !== null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) : null;
}

/** How it is, and in one word. */
export function stateOf(kind: string, name: string, told: Live): [Tone, string] {
  const worst = problemsOf(`${kind}/${name}`)[0];
  if (kind === "source") return sourceState(told.sources[name], worst?.tone);
  if (kind === "sink") return sinkState(told.sinks[name], worst?.tone);
  const kept = told.dead_letters.kept[name] ?? 0;
  return kept ? ["warn", plural(kept, "dead letter")] : ["good", "runs"];
}

function sourceState(source: Source | undefined, worst: Tone | undefined): [Tone, string] {
  if (!source) return ["off", "gone"];
  if (source.ended) return ["off", "ended"];
  if (source.state !== "running") return ["off", source.state];
  if (!source.connected) return ["bad", "not connected"];
  return worst === "warn" ? ["warn", "behind"] : ["good", "connected"];
}

function sinkState(sink: Sink | undefined, worst: Tone | undefined): [Tone, string] {
  if (!sink) return ["off", "gone"];
  if (!sink.connected) return ["bad", "not connected"];
  if (worst === "bad") return ["bad", sink.buffer?.full ? "buffer full" : "refuses"];
  if (worst === "warn") return ["warn", sink.queue.waiting ? "queue full" : "had an error"];
  return ["good", "connected"];
}

/** How far a source is behind, as its partitions tell it together; empty when none can. */
export function lagOf(source: Source): string {
  const records = source.lag.map((lag) => lag.records).filter((value) => value !== null);
  const seconds = source.lag.map((lag) => lag.seconds).filter((value) => value !== null);
  const size = source.lag.map((lag) => lag.bytes ?? null).filter((value) => value !== null);
  const told: string[] = [];
  if (records.length) told.push(`${count(sum(records))} behind`);
  else if (size.length) told.push(`${bytes(sum(size))} behind`);
  if (seconds.length && Math.max(...seconds) >= 1) told.push(duration(Math.max(...seconds)));
  return told.join(", ");
}

/** What waits for a sink, in memory and on the disk. */
export function waitsFor(sink: Sink): string {
  const told = [`${count(sink.queue.records)} queued`];
  if (sink.buffer) told.push(`${count(sink.buffer.records)} on disk`);
  return told.join(", ");
}

export interface Told {
  title: string;
  type: string;
  /** The rate, as a number with its unit. */
  rate: string;
  /** Beside the rate. */
  more: string;
  counters: string;
}

/** What stands on the node of a component. */
export function toldOf(kind: string, name: string, told: Live): Told {
  if (kind === "source") {
    const source = told.sources[name];
    const more = source ? lagOf(source) || (source.unsettled.records ? `${count(source.unsettled.records)} unsettled` : "") : "";
    return { title: name, type: source?.type ?? "", rate: perSecond(rate(counter.source(name))), more, counters: counter.source(name) };
  }
  if (kind === "sink") {
    const sink = told.sinks[name];
    return { title: name, type: sink?.type ?? "", rate: perSecond(rate(counter.sink(name))), more: sink ? waitsFor(sink) : "", counters: counter.sink(name) };
  }
  if (kind === "letters") {
    const kept = Object.values(told.dead_letters.kept).reduce((all, value) => all + value, 0);
    return { title: "dead letters", type: bytes(told.dead_letters.bytes), rate: `${count(kept)} kept`, more: "", counters: "" };
  }
  const flow = told.flows[name];
  return {
    title: name,
    type: `${flow?.rules ?? 0} rules`,
    rate: perSecond(rate(counter.flow(name))),
    more: "",
    counters: counter.flow(name),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}
