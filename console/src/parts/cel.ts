/** An expression in CEL, or a text with `${CEL}` in it, coloured. */
import { html, type Child } from "../html.ts";
import { inert } from "./inert.ts";

const TOKEN = /(?:[rRbB]{0,2})("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|\b(\d[\w.]*)\b|\b(true|false|null|in)\b|\b(event|meta|vars)\b|(&&|\|\||[!=<>]=?|[?:+\-*/%])/g;

/** The expression. */
export function Cel({ text }: { text: string }): Child {
  return html`<code class="cel">${coloured(text)}</code>`;
}

function coloured(text: string): Child[] {
  const made: Child[] = [];
  let from = 0;
  for (const match of text.matchAll(TOKEN)) {
    made.push(...inert(text.slice(from, match.index)));
    const [whole, quoted, number, word, root] = match;
    const kind = quoted ? "string" : number ? "number" : word ? "word" : root ? "key" : "operator";
    made.push(html`<span class="json-${kind}">${inert(whole)}</span>`);
    from = match.index + whole.length;
  }
  made.push(...inert(text.slice(from)));
  return made;
}

const TEMPLATE = /\$\$\{|\$\{((?:[^{}"']|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{[^{}]*\})*)\}/g;

/** A value of a rules file as it is written: `${CEL}` in it is coloured, the rest is itself. */
export function Written({ value }: { value: unknown }): Child {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  const made: Child[] = [];
  let from = 0;
  for (const match of text.matchAll(TEMPLATE)) {
    made.push(...inert(text.slice(from, match.index)));
    const inner = match[1];
    made.push(inner === undefined ? "$${" : html`<span class="filled">${"${"}${coloured(inner)}${"}"}</span>`);
    from = match.index + match[0].length;
  }
  made.push(...inert(text.slice(from)));
  return html`<code class="cel">${made}</code>`;
}
