/** A field for a payload: JSON is coloured, and what would not be seen (control characters, bidirectional marks) is. */
import { json } from "@codemirror/lang-json";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { minimalSetup } from "codemirror";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "preact/hooks";
import { html } from "../../html.ts";

interface Edited {
  /** What it begins with. */
  text: string;
  isJson: boolean;
  label: string;
  onText: (text: string) => void;
}

const NONCE = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.nonce ?? "";
const LOOK = [
  EditorView.cspNonce.of(NONCE),
  EditorView.theme({
    "&": { color: "var(--ink)", fontSize: "13px" },
    "&.cm-focused": { outline: "none" },
    ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55" },
    ".cm-content": { padding: "10px 0", caretColor: "var(--accent)" },
    ".cm-line": { padding: "0 12px" },
    ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
    ".cm-specialChar": { color: "var(--warn)" },
  }),
  syntaxHighlighting(HighlightStyle.define([
    { tag: tags.propertyName, color: "var(--json-key)" },
    { tag: tags.string, color: "var(--json-string)" },
    { tag: tags.number, color: "var(--json-number)" },
    { tag: [tags.bool, tags.null], color: "var(--json-word)" },
    { tag: [tags.punctuation, tags.separator, tags.bracket, tags.brace, tags.squareBracket], color: "var(--ink-soft)" },
  ])),
];

/** The field; it is not begun anew when `text` changes. */
export function PayloadEditor({ text, isJson, label, onText }: Edited) {
  const box = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const language = useRef(new Compartment());
  useEffect(() => {
    const told = EditorView.updateListener.of((update) => {
      if (update.docChanged) onText(update.state.doc.toString());
    });
    const extensions = [LOOK, minimalSetup, language.current.of(isJson ? json() : []), EditorView.lineWrapping, EditorView.contentAttributes.of({ "aria-label": label }), told];
    view.current = new EditorView({ parent: box.current ?? undefined, state: EditorState.create({ doc: text, extensions }) });
    view.current.focus();
    return () => view.current?.destroy();
  }, []);
  useEffect(() => {
    view.current?.dispatch({ effects: language.current.reconfigure(isJson ? json() : []) });
  }, [isJson]);
  return html`<div class="payload-editor" ref=${box}></div>`;
}
