/** A field for a payload: JSON is coloured, and what would not be seen (control characters, bidirectional marks) is. */
import { json } from "@codemirror/lang-json";
import { Compartment } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { basicSetup } from "codemirror";
import { useEffect, useRef } from "preact/hooks";
import { html } from "../../html.ts";

interface Edited {
  /** What it begins with. */
  text: string;
  isJson: boolean;
  label: string;
  onText: (text: string) => void;
}

const NONCE = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";

/** The field; it is not begun anew when `text` changes. */
export function PayloadEditor({ text, isJson, label, onText }: Edited) {
  const box = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const language = useRef(new Compartment());
  useEffect(() => {
    view.current = new EditorView({
      doc: text,
      parent: box.current ?? undefined,
      extensions: [
        EditorView.cspNonce.of(NONCE),
        basicSetup,
        language.current.of(isJson ? json() : []),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": label }),
        EditorView.updateListener.of((update) => update.docChanged && onText(update.state.doc.toString())),
      ],
    });
    view.current.focus();
    return () => view.current?.destroy();
  }, []);
  useEffect(() => {
    view.current?.dispatch({ effects: language.current.reconfigure(isJson ? json() : []) });
  }, [isJson]);
  return html`<div class="payload-editor" ref=${box}></div>`;
}
