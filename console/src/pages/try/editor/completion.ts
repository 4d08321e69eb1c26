/** What can be written here: fields, names, functions inside CEL; keys, sinks and sources around it. */
import type { Completion, CompletionContext, CompletionResult, CompletionSource } from "@codemirror/autocomplete";
import type { Text } from "@codemirror/state";
import { callables, isMethod, keysAt, loadLanguage, shortName, wordsAt, type Callable, type Facts } from "./facts.ts";
import { namesUnder, placeAt, type Place } from "./outline.ts";
import { cardOfCallable, cardOfField } from "./cards.ts";
import type { Field } from "../told.ts";

const CHAIN = /(?:[A-Za-z_]\w*|\)|\]|"|')?(?:\??\.\w*|\["[^"]*"\]|\[\d+\])*$/;
const ENDS = ["drop", "dead_letter", "reject"];
const TO = ["to", "sink", "else", "undecodable", "invalid", "error", "unmatched"];
/** What every source knows of a record; others have more. */
const META: Record<string, string> = {
  key: "The record's key.",
  headers: 'Its headers: `meta.headers["name"]`, names in lower case.',
  time: "Its own time, or when it was read.",
  source: "The source that it comes from.",
  raw: "The payload's bytes.",
};

/** Completion of a rules file. */
export function completionOf(facts: () => Facts): CompletionSource {
  return async (context) => {
    await loadLanguage();
    const text = context.state.doc;
    const place = placeAt(text, context.pos);
    return place.isCel ? inExpression(context, facts(), text) : around(context, facts(), place);
  };
}

function inExpression(context: CompletionContext, facts: Facts, text: Text): CompletionResult | null {
  const line = context.state.doc.lineAt(context.pos);
  const before = text.sliceString(line.from, context.pos);
  const chain = CHAIN.exec(before)?.[0] ?? "";
  const dot = chain.lastIndexOf(".");
  const from = context.pos - (chain.length - (dot + 1));
  if (dot < 0) {
    const word = /\w*$/.exec(before)?.[0] ?? "";
    if (!word && !context.explicit) return null;
    return { from: context.pos - word.length, options: roots(text), validFor: /^\w*$/ };
  }
  const base = chain.slice(0, dot).replace(/\?$/, "");
  const options = [...membersOf(base, facts), ...namespaced(base), ...methods(base)];
  return options.length ? { from, options, validFor: /^\w*$/ } : null;
}

function roots(text: Text): Completion[] {
  const lets = namesUnder(text, ["let"]).map((label) => ({ label, type: "let", detail: "let", boost: 8 }));
  const own = [
    { label: "event", type: "root", detail: "the payload", boost: 10 },
    { label: "meta", type: "root", detail: "what the source knows", boost: 6 },
    { label: "vars", type: "root", detail: "of the daemon's file", boost: 4 },
  ];
  const words = ["true", "false", "null", "in"].map((label) => ({ label, type: "keyword", boost: -2 }));
  return [...own, ...lets, ...functions((one) => !isMethod(one) && !one.name.includes(".")), ...namespaces(), ...words];
}

/** Fields directly under a path: each once, with the types of the field itself or how many are below it. */
function membersOf(base: string, facts: Facts): Completion[] {
  const found = new Map<string, Completion>();
  for (const field of facts.fields) {
    const rest = field.path.startsWith(`${base}.`) ? field.path.slice(base.length + 1) : "";
    const name = /^\w+/.exec(rest)?.[0];
    if (!name) continue;
    if (name === rest) found.set(name, ofField(name, field));
    else if (!found.has(name)) found.set(name, { label: name, type: "field", detail: "{…}", boost: 6 });
  }
  if (base === "meta") {
    for (const [label, told] of Object.entries(META)) {
      if (!found.has(label)) found.set(label, { label, type: "field", detail: "meta", info: told, boost: 6 });
    }
  }
  return [...found.values()];
}

function ofField(label: string, field: Field): Completion {
  const detail = [field.types.join(" | "), field.from.join(", ")].filter(Boolean).join(" · ");
  return { label, type: "field", detail, boost: 7, info: () => cardOfField(field) };
}

/** Names before a dot that are no variables: `hash`, `time`. */
function namespaces(): Completion[] {
  const names = new Set(callables().filter((one) => !isMethod(one) && one.name.includes(".")).map((one) => one.name.split(".")[0] ?? ""));
  return [...names].map((label) => ({ label, type: "namespace", detail: "functions", boost: -1 }));
}

function namespaced(base: string): Completion[] {
  return functions((one) => !isMethod(one) && one.name.startsWith(`${base}.`), base.length + 1);
}

function methods(base: string): Completion[] {
  const isNamespace = callables().some((one) => !isMethod(one) && one.name.startsWith(`${base}.`));
  if (isNamespace || base === "event" || base === "meta" || base === "vars") return [];
  return functions(isMethod);
}

function functions(which: (one: Callable) => boolean, cut = 0): Completion[] {
  return callables().filter(which).map((one) => {
    const label = shortName(one).slice(cut);
    const types = one.forms[0]?.[1]?.replace(/^.*→ /, "→ ") ?? "";
    const takesNone = one.forms.every(([call = ""]) => call.endsWith("()"));
    const apply: Completion["apply"] = (view, _, from, to) => {
      const hasBracket = view.state.sliceDoc(to, to + 1) === "(";
      const insert = hasBracket ? label : `${label}()`;
      const at = from + insert.length - (hasBracket || takesNone ? 0 : 1);
      view.dispatch({ changes: { from, to, insert }, selection: { anchor: at } });
    };
    return { label, type: "function", detail: types, apply, info: () => cardOfCallable(one) };
  });
}

function around(context: CompletionContext, facts: Facts, place: Place): CompletionResult | null {
  const word = context.matchBefore(/[\w.-]*/);
  const from = word?.from ?? context.pos;
  const isEmpty = from === context.pos;
  const before = context.state.sliceDoc(context.state.doc.lineAt(from).from, from);
  if (isEmpty && !context.explicit && !/(?::|,|\[|-)\s+$|\[$/.test(before)) return null;
  const options = place.at === "key" ? [...values(facts, place), ...keys(place, before)] : values(facts, place);
  return options.length ? { from, options, validFor: /^[\w.-]*$/ } : null;
}

function keys(place: Place, before: string): Completion[] {
  if (/:\s*$/.test(before)) return [];
  return keysAt(place.path).map(([label, info]) => ({ label, type: "key", apply: `${label}: `, info: info || undefined }));
}

function values(facts: Facts, { path }: Place): Completion[] {
  const key = path.at(-1) ?? "";
  const isTo = TO.includes(key) && (key === "to" || key === "sink" || path.includes("otherwise") || key === "else");
  const isThen = path[0] === "tests" && key === "then";
  if (isTo || isThen) {
    const words = wordsAt(path).filter((word) => !ENDS.includes(word));
    return [...named(facts.sinks, "sink"), ...named([...ENDS.slice(0, isThen ? 3 : 2), ...words], "end")];
  }
  if (key === "from") return named(facts.sources, "source");
  if (key === "sensitive") return facts.fields.map(({ path: label }) => ({ label, type: "field" }));
  return named(wordsAt(path), "keyword");
}

function named(names: readonly string[], type: string): Completion[] {
  return names.map((label) => ({ label, type, detail: type === "keyword" ? undefined : type }));
}
