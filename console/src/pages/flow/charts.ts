/** The last hour of a flow: how much, how quick, how far behind. */
import type { FlowDetail, History } from "../../api/types.ts";
import { html } from "../../html.ts";
import { Chart } from "../../parts/chart.ts";
import { count, duration, perSecond } from "../../parts/format.ts";

interface Given {
  name: string;
  flow: FlowDetail;
  history: History | null;
}

export function Charts({ name, flow, history }: Given) {
  const own = history?.flows[name];
  if (!history || !own) return null;
  if (history.times.length < 2) return html`<p class="none">Charts of the last hour begin when the daemon has run for twenty seconds.</p>`;
  const behind = worst(flow.sources.map((source) => history.sources[source]?.lag_records));
  const waits = worst(flow.sources.map((source) => history.sources[source]?.lag_seconds));
  const times = history.times;
  return html`<section class="charts" aria-label="The last hour">
    <${Chart} title="Throughput" times=${times} format=${perSecond} series=${[
      { title: "records", values: own.records }, { title: "dead letters", values: own.dead_letters, tone: "bad" },
    ]} />
    <${Chart} title="From read to durable" times=${times} format=${duration} series=${[
      { title: "p50", values: own.p50 }, { title: "p99", values: own.p99, tone: "second" },
    ]} />
    ${waits.some((value) => value !== null)
      ? html`<${Chart} title="The oldest record has waited" times=${times} format=${duration} series=${[{ title: "waits", values: waits, tone: "warn" }]} />`
      : html`<${Chart} title="Records behind" times=${times} format=${count} series=${[{ title: "behind", values: behind, tone: "warn" }]} />`}
  </section>`;
}

/** Of many series, the largest at each time. */
function worst(all: readonly ((number | null)[] | undefined)[]): (number | null)[] {
  const known = all.filter((series) => series !== undefined);
  return (known[0] ?? []).map((_, place) => {
    const values = known.map((series) => series[place] ?? null).filter((value) => value !== null);
    return values.length ? Math.max(...values) : null;
  });
}
