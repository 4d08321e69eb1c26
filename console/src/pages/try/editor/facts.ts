/** What the editor knows besides the text: the language, and what the daemon tells of fields, sinks and rules. */
import { signal } from "@preact/signals";
import { get } from "../../../api/client.ts";
import type { Field, RuleCounted } from "../told.ts";

/** A function or macro of CEL. */
export interface Callable {
  /** `.trim` is a method, `hash.md5` one of a namespace. */
  name: string;
  /** How it is called, each with its types. */
  forms: string[][];
  summary: string;
  /** Expressions that are true. */
  examples: string[];
}

export interface Schema {
  $ref?: string;
  $defs?: Record<string, Schema>;
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  anyOf?: Schema[];
  enum?: unknown[];
  type?: string | string[];
  default?: unknown;
}

/** Of one flow, as far as it is known. */
export interface Facts {
  fields: readonly Field[];
  sinks: readonly string[];
  sources: readonly string[];
  /** By name, as the rules run now. */
  rules: ReadonlyMap<string, RuleCounted>;
}

export const NO_FACTS: Facts = { fields: [], sinks: [], sources: [], rules: new Map() };

interface Language {
  functions: readonly Callable[];
  /** The schema of rules files. */
  rules: Schema;
}

/** It is fetched when an editor is opened for the first time; until then nothing of it is known. */
const language = signal<Language>({ functions: [], rules: {} });

let loading: Promise<void> | null = null;

/** Have it. What cannot be fetched is asked for again the next time: without it one can write as well. */
export function loadLanguage(): Promise<void> {
  loading ??= get<Language>("/console/language.json").then(
    (told) => { language.value = told; },
    () => { loading = null; },
  );
  return loading;
}

/** All functions and macros. */
export function callables(): readonly Callable[] {
  return language.value.functions;
}

/** The name of it alone: `trim` for `.trim`, `all` for `list.all(x, condition)`. */
export function shortName({ name }: Callable): string {
  return name.replace(/\(.*/s, "").replace(/^(?:\.|(?:list|map|optional)\.(?=.*\())/, "");
}

/** Whether it follows a value and a dot. */
export function isMethod({ name }: Callable): boolean {
  return name.startsWith(".") || /^(?:list|map|optional)\.\w+\(/.test(name);
}

/** What can be called by this name; `isAfterDot` for methods. */
export function callable(name: string, isAfterDot: boolean): Callable[] {
  return callables().filter((one) => (isMethod(one) ? isAfterDot && shortName(one) === name : shortName(one) === name));
}

/** What can stand under a path of keys. */
export function schemasAt(path: readonly string[]): Schema[] {
  let here = alternatives(language.value.rules);
  for (const key of path) {
    here = here.flatMap((one) => {
      const inner = one.properties?.[key] ?? one.additionalProperties;
      return inner && typeof inner === "object" ? alternatives(inner) : [];
    });
  }
  return here;
}

/** The keys of a mapping under a path, each with what is said of it. */
export function keysAt(path: readonly string[]): [string, string][] {
  const found = new Map<string, string>();
  for (const one of schemasAt(path)) {
    for (const [key, inner] of Object.entries(one.properties ?? {})) found.set(key, described(inner));
  }
  return [...found];
}

/** The words that a value may be. */
export function wordsAt(path: readonly string[]): string[] {
  return [...new Set(schemasAt(path).flatMap((one) => one.enum ?? (one.type === "boolean" ? [true, false] : [])))]
    .filter((word) => typeof word !== "object")
    .map(String);
}

function described(one: Schema): string {
  return one.description ?? (one.$ref ? (resolved(one).description ?? "") : "");
}

function resolved(one: Schema): Schema {
  const name = one.$ref?.split("/").at(-1);
  return (name && language.value.rules.$defs?.[name]) || one;
}

/** A schema, with the members of a list in place of the list. */
function alternatives(one: Schema): Schema[] {
  const here = resolved(one);
  const inner = [...(here.anyOf ?? []), ...(here.items ? [here.items] : [])].flatMap(alternatives);
  return [here, ...inner];
}
