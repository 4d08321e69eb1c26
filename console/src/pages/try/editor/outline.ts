/** What stands where in a rules file: its keys, its rules, and what is being written at a place. */
import { StringStream } from "@codemirror/language";
import type { Text } from "@codemirror/state";
import { inCel, isCel, pathOf, start, token, type Mode } from "./rules_mode.ts";

export interface Entry {
  /** The keys down to this one. */
  path: readonly string[];
  /** Counted from 1. */
  line: number;
  /** What stands behind it on the line, without quotes and comment. */
  value: string;
}

export interface RuleAt {
  name: string;
  /** Of its first line, counted from 1. */
  line: number;
  /** Of its name. */
  nameLine: number;
  last: number;
}

export interface Outline {
  entries: readonly Entry[];
  rules: readonly RuleAt[];
}

/** Where something is being written. */
export interface Place {
  path: readonly string[];
  at: "key" | "value";
  isCel: boolean;
}

const TAB = 4;
const known = new WeakMap<Text, Outline>();

/** All keys of a text, and its rules. */
export function outlineOf(text: Text): Outline {
  const found = known.get(text) ?? made(text);
  known.set(text, found);
  return found;
}

/** The keys directly under a path, such as the names under `let`. */
export function namesUnder(text: Text, path: readonly string[]): string[] {
  const isUnder = (entry: Entry) => entry.path.length === path.length + 1 && path.every((key, at) => entry.path[at] === key);
  return outlineOf(text).entries.filter(isUnder).map((entry) => entry.path.at(-1) ?? "");
}

/** The rule at a line. */
export function ruleAt(text: Text, line: number): RuleAt | undefined {
  return outlineOf(text).rules.find((rule) => rule.line <= line && line <= rule.last);
}

/** What is being written at an offset. */
export function placeAt(text: Text, offset: number): Place {
  const mode = start();
  const line = text.lineAt(offset);
  for (let number = 1; number < line.number; number++) run(text.line(number).text, mode);
  const before = text.sliceString(line.from, offset);
  const word = /^(\s*(?:- +)?)([\w-]*)$/.exec(before);
  const isOpen = !mode.scalar?.quote && !mode.block && !mode.frames.some(({ kind }) => kind !== "block");
  if (word && isOpen) return atLineStart(mode, word[1] ?? "");
  run(before, mode);
  const path = pathOf(mode);
  return { path, at: mode.scalar ? "value" : mode.at, isCel: inCel(mode) };
}

/** At the first word of a line, a key or a member of a list can be meant. */
function atLineStart(mode: Mode, lead: string): Place {
  const column = lead.length;
  const dashAt = lead.indexOf("-");
  const isWithin = (at: number) => (dashAt >= 0 ? at <= dashAt : at < column);
  const path = mode.frames.filter((frame) => isWithin(frame.column)).flatMap(({ key }) => (key === null ? [] : [key]));
  return { path, at: "key", isCel: mode.scalar !== null && isCel(pathOf(mode)) };
}

function run(line: string, mode: Mode, each?: (stream: StringStream, tag: string | null) => void): void {
  const stream = new StringStream(line, TAB, 2);
  while (!stream.eol()) {
    stream.start = stream.pos;
    const tag = token(stream, mode);
    if (stream.pos === stream.start) stream.next();
    each?.(stream, tag);
  }
}

function made(text: Text): Outline {
  const mode = start();
  const entries: Entry[] = [];
  const items: number[] = [];
  const column = { rules: -1 };
  for (let number = 1; number <= text.lines; number++) {
    const line = text.line(number).text;
    run(line, mode, (stream, tag) => {
      if (tag?.startsWith("propertyName") && stream.current().endsWith(":")) {
        entries.push({ path: pathOf({ ...mode, at: "value" }), line: number, value: valued(line.slice(stream.pos)) });
      } else if (tag === "punctuation" && stream.current() === "-" && isItem(mode, stream.start, column)) items.push(number);
    });
  }
  return { entries, rules: rulesOf(entries, items, text) };
}

/** Whether a dash begins a rule: it stands directly under `rules`. */
function isItem(mode: Mode, at: number, column: { rules: number }): boolean {
  const path = pathOf({ ...mode, at: "value" });
  if (path.length !== 1 || path[0] !== "rules") return false;
  if (column.rules < 0) column.rules = at;
  return column.rules === at;
}

function rulesOf(entries: readonly Entry[], items: readonly number[], text: Text): RuleAt[] {
  const after = entries.find((entry) => entry.path.length === 1 && entry.line > (items.at(-1) ?? Infinity));
  return items.map((line, place) => {
    let last = (items[place + 1] ?? after?.line ?? text.lines + 1) - 1;
    while (last > line && /^\s*(?:#.*)?$/.test(text.line(last).text)) last--;
    const name = entries.find(
      (entry) => entry.line >= line && entry.line <= last && entry.path.join("/") === "rules/name",
    );
    return { name: name?.value ?? "", line, nameLine: name?.line ?? line, last };
  });
}

function valued(rest: string): string {
  const found = /^\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^']|'')*)'|([^#,{}[\]]*?))\s*(?:[,}#].*)?$/.exec(rest);
  return (found?.[1] ?? found?.[2] ?? found?.[3] ?? "").trim();
}
