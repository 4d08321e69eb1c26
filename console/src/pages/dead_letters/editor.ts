/** A field for a payload: JSON is coloured, and what would not be seen (control characters, bidirectional marks) is. */
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { minimalSetup } from "codemirror";
import { useEffect, useRef } from "preact/hooks";
import { html } from "../../html.ts";
import { look } from "../../parts/editor_look.ts";
import { jsonLanguage } from "../../parts/json_mode.ts";

interface Edited {
  /** What it begins with. */
  text: string;
  isJson: boolean;
  label: string;
  onText: (text: string) => void;
}

/** The field; it is not begun anew when `text` changes. */
export function PayloadEditor({ text, isJson, label, onText }: Edited) {
  const box = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const language = useRef(new Compartment());
  useEffect(() => {
    const told = EditorView.updateListener.of((update) => {
      if (update.docChanged) onText(update.state.doc.toString());
    });
    const extensions = [look(), minimalSetup, language.current.of(isJson ? jsonLanguage : []), EditorView.contentAttributes.of({ "aria-label": label }), told];
    view.current = new EditorView({ parent: box.current ?? undefined, state: EditorState.create({ doc: text, extensions }) });
    view.current.focus();
    return () => view.current?.destroy();
  }, []);
  useEffect(() => {
    view.current?.dispatch({ effects: language.current.reconfigure(isJson ? jsonLanguage : []) });
  }, [isJson]);
  return html`<div class="payload-editor" ref=${box}></div>`;
}
