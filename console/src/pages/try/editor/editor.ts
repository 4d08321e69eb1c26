/** The editor of one file at a time; each file keeps its own history of changes while the console is open. */
import { acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, closeCompletion, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentLess, indentMore } from "@codemirror/commands";
import { bracketMatching, indentService, indentUnit } from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension, type Text } from "@codemirror/state";
import {
  drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers, tooltips,
} from "@codemirror/view";
import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { html } from "../../../html.ts";
import { inertText } from "../../../parts/inert.ts";
import type { Finding } from "../checking.ts";
import { completionOf } from "./completion.ts";
import { loadLanguage, NO_FACTS, type Facts } from "./facts.ts";
import { hits, hoverOf, toldHits } from "./hover.ts";
import { look } from "../../../parts/editor_look.ts";
import { jsonLanguage } from "../../../parts/json_mode.ts";
import { rulesLanguage } from "./rules_mode.ts";

interface Of {
  path: string;
  /** What it is called for whoever cannot see. */
  label: string;
  /** The text as it is to be; it reads signals, and what was written here is in them at once. */
  textNow: () => string;
  isRules: boolean;
  isReadOnly: boolean;
  findings: readonly Finding[];
  facts: Facts;
  /** Show this line; asked for anew with each `turn`. */
  goal: { line: number; column: number; turn: number } | null;
  onText: (text: string) => void;
  onLine: (line: number) => void;
}

/** What was open, with its history, by path. */
const states = new Map<string, EditorState>();
/** What those that were made once look at. */
const now: { facts: Facts; onText: (text: string) => void; onLine: (line: number) => void } = {
  facts: NO_FACTS, onText: () => {}, onLine: () => {},
};

export function Editor({ path, label, textNow, isRules, isReadOnly, findings, facts, goal, onText, onLine }: Of) {
  const box = useRef<HTMLDivElement>(null);
  const editor = useRef<EditorView | null>(null);
  Object.assign(now, { facts, onLine, onText: (text: string) => onText(isCrlf(textNow()) ? text.replaceAll("\n", "\r\n") : text) });
  useEffect(() => {
    if (!box.current) return;
    void loadLanguage();
    const view = new EditorView({ parent: box.current, state: stateOf(path, textNow(), label, isRules, isReadOnly) });
    editor.current = view;
    const follow = effect(() => become(view, textNow()));
    return () => {
      follow();
      states.set(path, view.state);
      view.destroy();
      editor.current = null;
    };
  }, [path, isReadOnly]);
  useEffect(() => {
    const view = editor.current;
    if (view) view.dispatch(setDiagnostics(view.state, diagnosed(view.state.doc, findings)));
  }, [findings, path, isReadOnly]);
  useEffect(() => {
    editor.current?.dispatch({ effects: toldHits.of(facts) });
  }, [facts, path, isReadOnly]);
  useEffect(() => {
    if (goal && editor.current) show(editor.current, goal);
  }, [goal?.turn, path]);
  return html`<div class="editor" ref=${box}></div>`;
}

/** Take a text that was not written here, loaded or given up; the cursor stays where the texts are the same. */
function become(view: EditorView, text: string): void {
  const before = view.state.doc.toString();
  text = plain(text);
  if (before === text) return;
  const most = Math.min(before.length, text.length);
  let [same, behind] = [0, 0];
  while (same < most && before[same] === text[same]) same++;
  while (behind < most - same && before.at(-1 - behind) === text.at(-1 - behind)) behind++;
  view.dispatch({ changes: { from: same, to: before.length - behind, insert: text.slice(same, text.length - behind) } });
}

/** The editor ends lines with a line feed; in a file that ends them otherwise they stay as they are. */
function plain(text: string): string {
  return text.replace(/\r\n?/g, "\n");
}

function isCrlf(text: string): boolean {
  return text.includes("\r\n");
}

function stateOf(path: string, text: string, label: string, isRules: boolean, isReadOnly: boolean): EditorState {
  const before = states.get(path);
  if (before && before.readOnly === isReadOnly) return before;
  return EditorState.create({ doc: text, extensions: extensions(label, isRules, isReadOnly) });
}

function extensions(label: string, isRules: boolean, isReadOnly: boolean): Extension {
  const facts = () => now.facts;
  return [
    look(), lineNumbers(), highlightActiveLine(), highlightActiveLineGutter(), drawSelection(), history(), search({ top: true }),
    bracketMatching(), closeBrackets(), highlightSelectionMatches(), lintGutter(), indentUnit.of("  "), EditorState.tabSize.of(4),
    tooltips({ position: "absolute" }), EditorState.readOnly.of(isReadOnly),
    EditorView.contentAttributes.of({
      "aria-label": inertText(label), "aria-describedby": "editor-keys", spellcheck: "false", autocapitalize: "off", tabindex: "0",
    }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) now.onText(update.state.doc.toString());
      if (update.selectionSet || update.docChanged) {
        now.onLine(update.state.doc.lineAt(update.state.selection.main.head).number);
      }
    }),
    isRules ? [rulesLanguage, autocompletion({ override: [completionOf(facts)], icons: false }), hoverOf(facts), hits, indent] : jsonLanguage,
    keymap.of([
      { key: "Tab", run: acceptCompletion },
      { key: "Tab", run: indentMore, shift: indentLess },
      // What these do is the page's.
      { key: "Mod-Enter", run: putAway }, { key: "Mod-s", run: putAway },
      ...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...searchKeymap, ...historyKeymap, ...defaultKeymap,
    ]),
  ];
}

function putAway(view: EditorView): boolean {
  closeCompletion(view);
  return true;
}

/** A new line stands below the one before, deeper after a key without a value. */
const indent = indentService.of((context, pos) => {
  const before = context.state.doc.lineAt(pos).text.slice(0, pos - context.state.doc.lineAt(pos).from);
  const line = before.trim() || pos === 0 ? before : lineAbove(context.state.doc, pos);
  const lead = /^\s*(?:- +)?/.exec(line)?.[0].length ?? 0;
  return /(?::|[|>][-+]?)\s*$/.test(line) ? lead + context.unit : lead;
});

function lineAbove(doc: Text, pos: number): string {
  let number = doc.lineAt(pos).number - 1;
  while (number > 0 && !doc.line(number).text.trim()) number--;
  return number > 0 ? doc.line(number).text : "";
}

/** Where each finding stands in the text: from its column to the end of what begins there. */
function diagnosed(doc: Text, findings: readonly Finding[]): Diagnostic[] {
  return findings.map(({ line: number, column, what, hint, tone }) => {
    const line = doc.line(Math.min(Math.max(number, 1), doc.lines));
    const from = Math.min(line.from + Math.max(column - 1, 0), line.to);
    const rest = doc.sliceString(from, line.to);
    const long = (/^(?:[\w."'\]["-]+|[^\w\s]+)/.exec(rest)?.[0] ?? rest).length;
    const message = inertText(hint ? `${what}\n${hint}` : what);
    return { from, to: from + Math.max(long, from < line.to ? 1 : 0), severity: tone === "bad" ? "error" : "warning", message };
  });
}

function show(view: EditorView, goal: { line: number; column: number }): void {
  const line = view.state.doc.line(Math.min(Math.max(goal.line, 1), view.state.doc.lines));
  const anchor = Math.min(line.from + Math.max(goal.column - 1, 0), line.to);
  view.dispatch({ selection: { anchor }, effects: EditorView.scrollIntoView(anchor, { y: "center" }) });
  view.focus();
}
