/**
 * The daemon as it is now: `GET /api/live`, once a second, for all pages together; and how fast its counters grew in the last
 * minute. What was last known stays when the connection is lost.
 */
import { computed, signal } from "@preact/signals";
import { type ApiError } from "./client.ts";
import { listen } from "./events.ts";
import type { Live } from "./types.ts";

export const live = signal<Live | null>(null);
/** `connecting` until something was told; `lost` with the reason. */
export const connection = signal<{ state: "connecting" | "open" | "lost"; why?: ApiError }>({ state: "connecting" });
/** Seconds since 1970 by the daemon's clock, as of the last event. */
export const now = computed(() => live.value?.time ?? Date.now() / 1000);

const KEPT = 61;
const OVER_SECONDS = 5;

/** Counters of the last minute, one point a second. */
class Minute {
  private times: number[] = [];
  private points: Map<string, number>[] = [];

  add(time: number, counters: Map<string, number>): void {
    if (time < (this.times.at(-1) ?? 0)) this.clear(); // the daemon's clock was set back
    this.times.push(time);
    this.points.push(counters);
    if (this.times.length > KEPT) {
      this.times.shift();
      this.points.shift();
    }
  }

  clear(): void {
    this.times = [];
    this.points = [];
  }

  /** How fast it grew over the last seconds, a second; null while that is not known. */
  rate(name: string): number | null {
    const last = this.times.length - 1;
    let first = last;
    while (first > 0 && (this.times[last] ?? 0) - (this.times[first] ?? 0) < OVER_SECONDS) first--;
    return this.between(name, first, last);
  }

  /** How fast it grew from point to point, oldest first; null where that is not known. */
  rates(name: string): (number | null)[] {
    const grown = this.times.map((_, place) => (place ? this.between(name, place - 1, place) : null)).slice(1);
    return [...Array<null>(Math.max(0, KEPT - 1 - grown.length)).fill(null), ...grown];
  }

  private between(name: string, first: number, last: number): number | null {
    const [from, to] = [this.points[first]?.get(name), this.points[last]?.get(name)];
    const seconds = (this.times[last] ?? 0) - (this.times[first] ?? 0);
    if (from === undefined || to === undefined || seconds <= 0) return null;
    return Math.max(0, to - from) / seconds;
  }
}

const minute = new Minute();

/** The names under which counters are kept. */
export const counter = {
  source: (name: string) => `source/${name}`,
  sourceBytes: (name: string) => `source-bytes/${name}`,
  sink: (name: string) => `sink/${name}`,
  sinkBytes: (name: string) => `sink-bytes/${name}`,
  flow: (name: string) => `flow/${name}`,
  letters: (flow: string) => `letters/${flow}`,
  errors: (flow: string) => `errors/${flow}`,
  dropped: (flow: string) => `dropped/${flow}`,
  unmatched: (flow: string) => `unmatched/${flow}`,
  delivery: (flow: string, sink: string) => `to/${flow}/${sink}`,
};

/** Records a second over the last five; null while that is not known. Redraws with each event. */
export function rate(name: string): number | null {
  void live.value;
  return minute.rate(name);
}

/** Records a second, for each second of the last minute, oldest first. */
export function minuteOf(name: string): (number | null)[] {
  void live.value;
  return minute.rates(name);
}

/** Begin to listen, once. */
export function begin(): void {
  listen("/api/live", {
    onEvent(name, data) {
      if (name !== "status") return;
      const told = data as Live;
      if (live.value?.started !== told.started) minute.clear(); // another run counts from zero
      minute.add(told.time, counters(told));
      connection.value = { state: "open" };
      live.value = told;
    },
    onState(state, why) {
      if (state === "lost") connection.value = { state, why };
    },
  });
}

function counters(told: Live): Map<string, number> {
  const found = new Map<string, number>();
  const put = (name: string, value: number | undefined) => value !== undefined && found.set(name, value);
  for (const [name, source] of Object.entries(told.sources)) {
    put(counter.source(name), source.records);
    put(counter.sourceBytes(name), source.bytes);
  }
  for (const [name, sink] of Object.entries(told.sinks)) {
    put(counter.sink(name), sink.records);
    put(counter.sinkBytes(name), sink.bytes);
  }
  for (const [name, flow] of Object.entries(told.flows)) {
    put(counter.flow(name), flow.records);
    put(counter.letters(name), flow.dead_letters);
    put(counter.errors(name), flow.rule_errors);
    put(counter.dropped(name), flow.dropped);
    put(counter.unmatched(name), flow.unmatched);
    for (const [sink, deliveries] of Object.entries(flow.to ?? {})) put(counter.delivery(name, sink), deliveries);
  }
  return found;
}
