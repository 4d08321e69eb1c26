/** Two texts as one, with what differs marked and what is the same folded. */
import { unifiedMergeView } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
import { EditorView, lineNumbers } from "@codemirror/view";
import { useEffect, useRef } from "preact/hooks";
import { html } from "../../../html.ts";
import { look } from "../../../parts/editor_look.ts";
import { rulesLanguage } from "./rules_mode.ts";

export function TextDiff({ before, after, label }: { before: string; after: string; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!box.current) return;
    const merge = unifiedMergeView({
      original: before, mergeControls: false, gutter: true, collapseUnchanged: { margin: 2, minSize: 4 },
      syntaxHighlightDeletions: false,
    });
    const extensions = [
      look(), lineNumbers(), rulesLanguage, merge, EditorState.readOnly.of(true), EditorView.editable.of(false),
      EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
    ];
    const view = new EditorView({ parent: box.current, doc: after, extensions });
    return () => view.destroy();
  }, [before, after]);
  return html`<div class="text-diff" ref=${box}></div>`;
}
