/** A part of the daemon: the flows that have a text in their name, or in that of something they read or deliver to. */
import type { Live } from "../../api/types.ts";

/** All of it for an empty text. */
export function matching(told: Live, text: string): Live {
  const words = text.trim().toLowerCase();
  if (!words) return told;
  const has = (name: string) => name.toLowerCase().includes(words);
  const flows = Object.entries(told.flows).filter(
    ([name, flow]) => has(name) || flow.sources.some(has) || Object.keys(flow.to ?? {}).some(has),
  );
  const sources = new Set(flows.flatMap(([, flow]) => flow.sources));
  const sinks = new Set(flows.flatMap(([, flow]) => Object.keys(flow.to ?? {})));
  return {
    ...told,
    flows: Object.fromEntries(flows),
    sources: picked(told.sources, (name) => sources.has(name) || has(name)),
    sinks: picked(told.sinks, (name) => sinks.has(name) || has(name)),
  };
}

function picked<T>(all: Record<string, T>, takes: (name: string) => boolean): Record<string, T> {
  return Object.fromEntries(Object.entries(all).filter(([name]) => takes(name)));
}
