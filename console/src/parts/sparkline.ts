/** A small line of numbers over time, from zero to their largest; gaps where a number is not known. */
import { html } from "../html.ts";

interface Drawn {
  values: readonly (number | null)[];
  width?: number;
  height?: number;
  /** What it shows, for those who do not see it. */
  label: string;
  tone?: "plain" | "bad";
}

export function Sparkline({ values, width = 96, height = 22, label, tone = "plain" }: Drawn) {
  const most = values.reduce<number>((found, value) => Math.max(found, value ?? 0), 0) || 1;
  const step = width / Math.max(1, values.length - 1);
  let path = "";
  let isDown = false;
  values.forEach((value, place) => {
    if (value !== null) {
      const y = height - 1.5 - (value / most) * (height - 3);
      path += `${isDown ? "L" : "M"}${(place * step).toFixed(1)} ${y.toFixed(1)}`;
    }
    isDown = value !== null;
  });
  return html`<svg class="sparkline ${tone}" viewBox="0 0 ${width} ${height}" width=${width} height=${height}
    role="img" aria-label=${label}><path class="base" d="M0 ${height - 1.5}H${width}" /><path d=${path || "M0 0"} /></svg>`;
}
