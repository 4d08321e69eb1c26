/** Numbers over the last hour, with axes, and under the pointer what they are: uPlot, drawn anew when they change. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { isDark } from "../app/theme.ts";
import { html } from "../html.ts";

export interface Series {
  title: string;
  values: readonly (number | null)[];
  tone?: "plain" | "second" | "bad" | "warn";
}

interface Drawn {
  title: string;
  /** Unix seconds, one for each value. */
  times: readonly number[];
  series: readonly Series[];
  format: (value: number) => string;
  height?: number;
}

const AXIS_PIXELS = 58;
const TONES = { plain: "--accent", second: "--json-number", bad: "--bad", warn: "--warn" };

/** The chart. What it shows stands beside it in words, too: the last values. */
export function Chart({ title, times, series, format, height = 150 }: Drawn) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = series.map((one) => one.title).join("\n");
  useEffect(() => {
    const within = box.current;
    if (!within) return;
    const made = new uPlot(options(within.clientWidth, height, series, format), data(times, series), within);
    plot.current = made;
    const watch = new ResizeObserver(() => made.setSize({ width: within.clientWidth, height }));
    watch.observe(within);
    return () => {
      watch.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape, isDark.value, height]);
  useEffect(() => plot.current?.setData(data(times, series)), [times]);
  return html`<figure class="chart"><figcaption><span>${title}</span><span class="legend">${series.map((one) => html`<span>
    <i class=${`swatch ${one.tone ?? "plain"}`}></i>${series.length > 1 ? one.title : ""} <b>${last(one, format)}</b></span>`)}</span></figcaption>
    <div ref=${box} role="img" aria-label=${`${title}, the last hour`}></div></figure>`;
}

function last(series: Series, format: (value: number) => string): string {
  const value = series.values.findLast((value) => value !== null);
  return value === undefined || value === null ? "–" : format(value);
}

function data(times: readonly number[], series: readonly Series[]): uPlot.AlignedData {
  return [[...times], ...series.map((one) => [...one.values])];
}

function options(width: number, height: number, series: readonly Series[], format: (value: number) => string): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: colour("--ink-soft"), grid, ticks: { show: false }, font: `11px ${style.fontFamily}` };
  return {
    width,
    height,
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    plugins: [reading(series, format)],
    scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] } },
    axes: [
      { ...axis, size: 26, space: 70, values: (_, ticks, __, ___, step) => ticks.map((at) => time(at, step < 60)) },
      { ...axis, size: AXIS_PIXELS, space: 34, values: (_, ticks) => ticks.map(format) },
    ],
    series: [
      {},
      ...series.map((one) => ({
        stroke: colour(TONES[one.tone ?? "plain"]),
        width: 1.5,
        points: { show: false },
        spanGaps: false,
      })),
    ],
  };
}

/** What the numbers under the pointer are. */
function reading(series: readonly Series[], format: (value: number) => string): uPlot.Plugin {
  const shown = document.createElement("div");
  shown.className = "reading";
  return {
    hooks: {
      init: (plot) => void plot.over.append(shown),
      setCursor: (plot) => {
        const place = plot.cursor.idx;
        const at = place === null || place === undefined ? undefined : plot.data[0][place];
        shown.hidden = at === undefined;
        if (at === undefined || place === null || place === undefined) return;
        const values = series.map((one, number) => {
          const value = plot.data[number + 1]?.[place];
          return `${series.length > 1 ? `${one.title} ` : ""}${value === null || value === undefined ? "–" : format(value)}`;
        });
        shown.textContent = [time(at), ...values].join("  ·  ");
        const isRight = (plot.cursor.left ?? 0) > plot.over.clientWidth / 2;
        shown.classList.toggle("to-left", isRight);
      },
    },
  };
}

function time(seconds: number, exact = true): string {
  const date = new Date(seconds * 1000);
  const parts = [date.getHours(), date.getMinutes(), ...(exact ? [date.getSeconds()] : [])];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}
