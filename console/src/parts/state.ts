/** How something is, as a sign and a word: colour is never the only difference. */
import { html, type Child } from "../html.ts";

export type Tone = "good" | "warn" | "bad" | "off" | "busy" | "none";

const SIGNS: Record<Tone, string> = {
  good: "M3 8.5l3.2 3.2L13 4.8",
  warn: "M8 2.2L14.6 13.4H1.4zM8 6.4v3.2M8 11.4v.4",
  bad: "M4 4l8 8M12 4l-8 8",
  off: "M5.5 4v8M10.5 4v8",
  busy: "M8 3.2v5l3 1.8",
  none: "M4.5 8h7",
};

/** The sign alone; a word must stand beside it. */
export function Sign({ tone }: { tone: Tone }) {
  return html`<svg class="sign ${tone}" viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
    <path d=${SIGNS[tone]} /></svg>`;
}

/** Sign and word. */
export function State({ tone, children }: { tone: Tone; children: Child }) {
  return html`<span class="state ${tone}"><${Sign} tone=${tone} /><span>${children}</span></span>`;
}
