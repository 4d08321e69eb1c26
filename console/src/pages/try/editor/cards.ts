/** What is told of a thing beside the text: made of text nodes alone. */
import { count, plural } from "../../../parts/format.ts";
import { inertText } from "../../../parts/inert.ts";
import type { Field, RuleCounted } from "../told.ts";
import type { Callable } from "./facts.ts";

type Part = Node | string | null | undefined | false;

/** An element with a class and children. */
export function element(name: string, style: string, ...parts: Part[]): HTMLElement {
  const made = document.createElement(name);
  if (style) made.className = style;
  made.append(...parts.filter((part): part is Node | string => Boolean(part)));
  return made;
}

export function cardOfCallable({ forms, summary, examples }: Callable): HTMLElement {
  const calls = forms.map(([call = "", types = ""]) =>
    element("div", "card-call", element("code", "", call), types && element("span", "card-types", types)),
  );
  const shown = examples.slice(0, 2).map((example) => element("code", "card-example", example));
  return element("div", "card", ...calls, element("p", "", summary), ...shown);
}

export function cardOfField({ path, types, from, enum: words, sensitive }: Field): HTMLElement {
  const known = words.slice(0, 12).map((word) => JSON.stringify(word)).join(", ");
  const origin = from.length ? `Known from ${from.join(" and ")}.` : "";
  return element(
    "div", "card",
    element("div", "card-call", element("code", "", inertText(path)), element("span", "card-types", types.join(" | "))),
    element("p", "", origin, sensitive ? " Sensitive: its values are never shown." : ""),
    known && element("p", "card-enum", `One of ${inertText(known)}${words.length > 12 ? ", …" : ""}`),
  );
}

export function cardOfKey(name: string, told: string): HTMLElement {
  return element("div", "card", element("div", "card-call", element("code", "", name)), element("p", "", told));
}

/** What a rule did, as it runs now. */
export function cardOfRule(rule: RuleCounted, rate: number | null): HTMLElement {
  const facts = [
    plural(rule.records, "record"), rate !== null && rate > 0 && `${count(rate)}/s`,
    rule.errors > 0 && plural(rule.errors, "error"), rule.dropped > 0 && `${count(rule.dropped)} dropped`,
  ].filter(Boolean);
  const to = rule.to.length ? `to ${rule.to.join(", ")}` : "a step";
  return element(
    "div", "card",
    element("div", "card-call", element("b", "", inertText(rule.name)), element("span", "card-types", inertText(to))),
    element("p", rule.errors ? "card-bad" : "", `Since the daemon started: ${facts.join(", ")}.`),
  );
}
