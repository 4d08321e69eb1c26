/**
 * A rules file, token by token: YAML, and CEL where a rules file has it (`when`, `let`, `expect`, `each`, keys of gates,
 * and `${...}` in any other value). It knows the path of keys at each place, which completion and the outline ask for.
 * It follows YAML as people write it and never fails: the daemon's check says what is wrong with a text.
 */
import { StreamLanguage, type StringStream } from "@codemirror/language";

/** A mapping or list that we are in. */
interface Frame {
  kind: "block" | "{" | "[";
  /** The column of its keys; of a flow collection, that of what it stands in. */
  column: number;
  key: string | null;
}

interface Scalar {
  /** What ends it: a quote, or, plain, what YAML says. */
  quote: "" | '"' | "'";
  /** All of it is CEL. */
  isCel: boolean;
  /** How deep in brackets of an open `${`; -1 outside of one. */
  depth: number;
}

export interface Mode {
  frames: Frame[];
  /** Whether a key or a value is next. */
  at: "key" | "value";
  scalar: Scalar | null;
  /** In a literal block (`|`, `>`): the column of its key, and whether it is CEL. */
  block: { column: number; isCel: boolean } | null;
  /** The column at which the line's content begins. */
  column: number;
  /** What was read last is a `.`: a name after it is a field. */
  afterDot: boolean;
}

const GATES = ["sample", "throttle", "dedupe"];
const DATA = ["set", "emit", "given", "then"];
const BLOCK_KEY = /^(?:[^\s"'{}[\],#&*!|>%@`?:-]|[-?:](?=\S))(?:[^:#]|:(?=\S)|(?<=\S)#)*?(?=\s*:(?:\s|$))/;
const FLOW_KEY = /^[^\s"'{}[\],#&*!|>%@`:](?:[^:#,{}[\]]|:(?=[^\s,{}[\]]))*?(?=\s*:(?:\s|$|[,{}[\]]))/;
const QUOTED_KEY = /^(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')(?=\s*:(?:\s|$))/;
const WORDS = new Set(["true", "false", "null", "in"]);
const ROOTS = new Set(["event", "meta", "vars"]);

export function start(): Mode {
  return { frames: [], at: "value", scalar: null, block: null, column: 0, afterDot: false };
}

/** The keys above this place, outermost first. At a key: those of what it is in. */
export function pathOf({ frames, at, column }: Mode): string[] {
  const above = frames.filter((frame) => at === "value" || frame.kind !== "block" || frame.column < column || inFlow(frames));
  return above.flatMap(({ key }) => (key === null ? [] : [key]));
}

/** Whether a value under this path is CEL as a whole. */
export function isCel(path: readonly string[]): boolean {
  const [key = "", parent = "", ...rest] = path.toReversed();
  if ([parent, ...rest].some((above) => DATA.includes(above))) return false;
  if (key === "when") return parent === "rules";
  if (key === "each") return parent === "split";
  if (key === "per" || key === "by" || key === "key") return GATES.includes(parent);
  return parent === "expect" || (parent === "let" && rest.length === 0);
}

/** Whether CEL is being written: in a scalar that is CEL, in `${`, or where one would begin. */
export function inCel(mode: Mode): boolean {
  if (mode.scalar) return mode.scalar.isCel || mode.scalar.depth >= 0;
  if (mode.block) return mode.block.isCel;
  return mode.at === "value" && isCel(pathOf(mode));
}

function inFlow(frames: readonly Frame[]): boolean {
  return frames.at(-1)?.kind !== undefined && frames.at(-1)?.kind !== "block";
}

/** Read a token; the answer is the name of its tag. */
export function token(stream: StringStream, mode: Mode): string | null {
  if (stream.sol()) beginLine(stream, mode);
  if (mode.block) return blockText(stream, mode);
  if (mode.scalar) return scalarText(stream, mode, mode.scalar);
  if (stream.eatSpace()) return null;
  if (stream.match(/^#.*/)) return "comment";
  if (stream.match(/^(?:---|\.\.\.)(?=\s|$)/)) return "punctuation";
  if (!inFlow(mode.frames) && stream.match(/^-(?=\s|$)/)) return dash(stream, mode);
  return collection(stream, mode) ?? key(stream, mode) ?? value(stream, mode);
}

function beginLine(stream: StringStream, mode: Mode): void {
  const column = stream.indentation();
  const rest = stream.string.trimStart();
  if (mode.block) {
    if (!rest || column > mode.block.column) return;
    mode.block = null;
  }
  if (inFlow(mode.frames) || (mode.scalar && mode.scalar.quote)) return;
  if (!rest) return;
  const top = mode.frames.at(-1)?.column ?? -1;
  const goesOn = mode.scalar && column > top && !/^(?:- |#)/.test(rest) && !BLOCK_KEY.test(rest);
  if (goesOn) return;
  mode.scalar = null;
  mode.column = column;
  while ((mode.frames.at(-1)?.column ?? -1) > column) mode.frames.pop();
  mode.at = (mode.frames.at(-1)?.column ?? -1) >= column ? "key" : "value";
}

function dash(stream: StringStream, mode: Mode): string {
  const at = stream.column();
  while ((mode.frames.at(-1)?.column ?? -1) > at) mode.frames.pop();
  mode.column = at + 1 + (/^\s*/.exec(stream.string.slice(stream.pos))?.[0].length ?? 0);
  mode.at = "value";
  return "punctuation";
}

function collection(stream: StringStream, mode: Mode): string | null {
  const open = stream.match(/^[{[]/) as RegExpMatchArray | null;
  if (open) {
    mode.frames.push({ kind: open[0] as "{" | "[", column: mode.frames.at(-1)?.column ?? -1, key: null });
    mode.at = open[0] === "{" ? "key" : "value";
    return "bracket";
  }
  if (!inFlow(mode.frames)) return null;
  if (stream.match(/^[}\]]/)) {
    mode.frames.pop();
    mode.at = "value";
    return "bracket";
  }
  if (!stream.match(/^,/)) return null;
  const top = mode.frames.at(-1);
  if (top?.kind === "{") {
    top.key = null;
    mode.at = "key";
  }
  return "separator";
}

function key(stream: StringStream, mode: Mode): string | null {
  if (mode.at === "value" && inFlow(mode.frames)) return null;
  const at = stream.column();
  const found = (stream.match(QUOTED_KEY) ?? stream.match(inFlow(mode.frames) ? FLOW_KEY : BLOCK_KEY)) as RegExpMatchArray | null;
  if (!found) return null;
  const name = unquoted(found[0]);
  const top = mode.frames.at(-1);
  if (top && (inFlow(mode.frames) || top.column === at)) top.key = name;
  else mode.frames.push({ kind: "block", column: at, key: name });
  const path = pathOf({ ...mode, at: "value" });
  mode.at = "value";
  stream.match(/^\s*:/);
  return isNamed(path) ? "propertyName.definition" : "propertyName";
}

/** Whether the last key is a name that somebody chose, or a path of a record. */
function isNamed(path: readonly string[]): boolean {
  const above = path.slice(0, -1);
  return above.some((one) => DATA.includes(one) || one === "let" || one === "expect");
}

function value(stream: StringStream, mode: Mode): string | null {
  const cel = isCel(pathOf(mode));
  if (!inFlow(mode.frames) && stream.match(/^[|>][-+0-9]*(?=\s*(?:#|$))/)) {
    mode.block = { column: mode.frames.at(-1)?.column ?? 0, isCel: cel };
    mode.scalar = null;
    return "meta";
  }
  if (stream.match(/^[&*!][^\s,{}[\]]*/)) return "meta";
  const quote = (stream.match(/^["']/) as RegExpMatchArray | null)?.[0] as Scalar["quote"] | undefined;
  mode.scalar = { quote: quote ?? "", isCel: cel, depth: -1 };
  mode.afterDot = false;
  if (quote) return cel ? "punctuation" : "string";
  return scalarText(stream, mode, mode.scalar);
}

function blockText(stream: StringStream, mode: Mode): string | null {
  const block = mode.block;
  if (!block) return null;
  mode.scalar ??= { quote: "", isCel: block.isCel, depth: -1 };
  const made = scalarText(stream, mode, mode.scalar);
  if (stream.eol() && mode.scalar && mode.scalar.depth < 0) mode.scalar = null;
  return made;
}

/** Whether the scalar ends here. */
function isOver(stream: StringStream, mode: Mode, scalar: Scalar): boolean {
  if (scalar.quote) return stream.peek() === scalar.quote && !(scalar.quote === "'" && stream.match("''", false));
  if (mode.block) return false;
  if (stream.match(/^\s+#/, false)) return true;
  return inFlow(mode.frames) && scalar.depth < 0 && /[,{}[\]]/.test(stream.peek() ?? "");
}

function scalarText(stream: StringStream, mode: Mode, scalar: Scalar): string | null {
  if (isOver(stream, mode, scalar)) {
    mode.scalar = null;
    if (!scalar.quote) return token(stream, mode);
    stream.next();
    return scalar.isCel ? "punctuation" : "string";
  }
  if (scalar.isCel || scalar.depth >= 0) return celToken(stream, mode, scalar);
  if (stream.match("$${")) return "string";
  if (stream.match("${")) {
    scalar.depth = 0;
    mode.afterDot = false;
    return "processingInstruction";
  }
  const from = stream.pos;
  while (!stream.eol() && !isOver(stream, mode, scalar) && !stream.match("${", false) && !stream.match("$${", false)) {
    if (scalar.quote === '"' && stream.peek() === "\\") stream.next();
    else if (scalar.quote === "'" && stream.match("''")) continue;
    stream.next();
  }
  if (scalar.quote || mode.block) return "string";
  return plain(stream.string.slice(from, stream.pos).trim());
}

function plain(text: string): string {
  if (/^[-+]?(?:\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?|0x[\da-fA-F]+)$/.test(text)) return "number";
  return /^(?:true|false|null|~)$/.test(text) ? "atom" : "string";
}

function celToken(stream: StringStream, mode: Mode, scalar: Scalar): string | null {
  if (stream.eatSpace()) return null;
  const isAfterDot = mode.afterDot;
  mode.afterDot = false;
  if (stream.match(/^\/\/.*/)) return "comment";
  if (celString(stream, scalar)) return "string";
  if (stream.match(/^(?:0x[\da-fA-F]+|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)u?/)) return "number";
  const word = (stream.match(/^[A-Za-z_]\w*/) as RegExpMatchArray | null)?.[0];
  if (word) return named(word, isAfterDot, stream);
  const character = stream.next() ?? "";
  if (character === ".") mode.afterDot = true;
  if (character === "?" && stream.peek() === ".") return "operator";
  if ("([{".includes(character)) return opened(scalar);
  if (character === "}" && scalar.depth === 0) {
    scalar.depth = -1;
    return "processingInstruction";
  }
  if (")]}".includes(character)) {
    if (scalar.depth > 0) scalar.depth--;
    return "bracket";
  }
  return ".,".includes(character) ? "separator" : "operator";
}

function opened(scalar: Scalar): string {
  if (scalar.depth >= 0) scalar.depth++;
  return "bracket";
}

function named(word: string, isAfterDot: boolean, stream: StringStream): string {
  if (stream.match(/^\s*\(/, false)) return "variableName.function";
  if (isAfterDot) return "propertyName.special";
  if (WORDS.has(word)) return "keyword";
  return ROOTS.has(word) ? "variableName.standard" : "variableName";
}

/** A text of CEL, in its quotes as they stand in the scalar's own. */
function celString(stream: StringStream, scalar: Scalar): boolean {
  const forms =
    scalar.quote === '"' ? [/^[rb]{0,2}\\"(?:[^"\\]|\\[^"])*\\"/, /^[rb]{0,2}'(?:[^'\\"]|\\.)*'/]
    : scalar.quote === "'" ? [/^[rb]{0,2}"(?:[^"\\']|\\.)*"/, /^[rb]{0,2}''(?:[^'\\]|\\.)*''/]
    : [/^[rb]{0,2}"(?:[^"\\]|\\.)*"/, /^[rb]{0,2}'(?:[^'\\]|\\.)*'/];
  if (forms.some((form) => stream.match(form))) return true;
  const open = scalar.quote === '"' ? /^(?:\\"|')[^"]*/ : scalar.quote === "'" ? /^(?:"|'')[^']*/ : /^["'].*/;
  return Boolean(stream.match(open)); // not closed on this line
}

function unquoted(text: string): string {
  if (text.startsWith("'")) return text.slice(1, -1).replaceAll("''", "'");
  return text.startsWith('"') ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text;
}

function copied(mode: Mode): Mode {
  const frames = mode.frames.map((frame) => ({ ...frame }));
  return { ...mode, frames, scalar: mode.scalar && { ...mode.scalar }, block: mode.block && { ...mode.block } };
}

/** The language of rules files, and of the daemon's file. */
export const rulesLanguage = StreamLanguage.define<Mode>({
  name: "rules",
  startState: start,
  copyState: copied,
  token,
  languageData: { commentTokens: { line: "#" }, closeBrackets: { brackets: ["(", "[", "{", '"', "'"] } },
});
