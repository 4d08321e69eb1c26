/**
 * Text from outside, made visible: what would do something instead of being read (control characters, marks that turn
 * the direction of writing, invisible ones, halves of surrogate pairs) stands there as a glyph. All of it becomes text
 * nodes and spans, never markup.
 */
import { html, type Child } from "../html.ts";

// biome-ignore lint: control characters are what is looked for
const ODD =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f\u205f-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e0fff}]|[\ud800-\udfff]/gu;

/** A text as children: strings, and glyphs for what is odd in it. */
export function inert(text: string): Child[] {
  const made: Child[] = [];
  let from = 0;
  for (const match of text.matchAll(ODD)) {
    if (match.index > from) made.push(text.slice(from, match.index));
    made.push(html`<span class="odd">${glyph(match[0])}</span>`);
    from = match.index + match[0].length;
  }
  if (from < text.length) made.push(text.slice(from));
  return made;
}

/** The same as plain text, for titles. */
export function inertText(text: string): string {
  return text.replace(ODD, glyph);
}

function glyph(odd: string): string {
  const code = odd.codePointAt(0) ?? 0;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "␡";
  return `‹U+${code.toString(16).toUpperCase().padStart(4, "0")}›`;
}
