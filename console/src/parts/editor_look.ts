/** How editors look: by the tokens of `style/tokens.css`, so that it follows the theme by itself. */
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { RangeSetBuilder, type Extension } from "@codemirror/state";
import { Decoration, EditorView, ViewPlugin, type DecorationSet, type ViewUpdate } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const colours = HighlightStyle.define([
  { tag: tags.definition(tags.propertyName), color: "var(--ink)" },
  { tag: tags.propertyName, color: "var(--json-key)" },
  { tag: tags.special(tags.propertyName), color: "var(--ink)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--json-string)" },
  { tag: [tags.number, tags.integer], color: "var(--json-number)" },
  { tag: [tags.keyword, tags.atom, tags.bool, tags.null], color: "var(--json-word)" },
  { tag: tags.processingInstruction, color: "var(--accent)", fontWeight: "650" },
  { tag: tags.standard(tags.variableName), color: "var(--accent)" },
  { tag: tags.function(tags.variableName), color: "var(--json-number)" },
  { tag: tags.variableName, color: "var(--ink)", fontWeight: "600" },
  { tag: tags.comment, color: "var(--ink-soft)", fontStyle: "italic" },
  { tag: [tags.meta, tags.punctuation, tags.bracket, tags.separator, tags.operator], color: "var(--ink-soft)" },
]);

const surface = EditorView.theme({
  "&": { backgroundColor: "var(--panel)", color: "var(--ink)", fontSize: "13px" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6", overflow: "auto" },
  ".cm-content": { padding: "10px 0", caretColor: "var(--accent)" },
  ".cm-line": { padding: "0 12px 0 8px" },
  ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  ".cm-gutters": { backgroundColor: "var(--panel)", color: "var(--ink-soft)", border: "none" },
  ".cm-lineNumbers .cm-gutterElement": { padding: "0 6px 0 10px", minWidth: "32px" },
  ".cm-activeLine": { backgroundColor: "color-mix(in srgb, var(--accent-wash) 45%, transparent)" },
  ".cm-activeLineGutter": { backgroundColor: "color-mix(in srgb, var(--accent-wash) 45%, transparent)", color: "var(--ink)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    background: "color-mix(in srgb, var(--accent) 26%, transparent)",
  },
  ".cm-specialChar": { color: "var(--warn)" },
  ".cm-selectionMatch": { backgroundColor: "var(--accent-wash)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "var(--accent-wash)", outline: "1px solid var(--flow)" },
  "&.cm-focused .cm-nonmatchingBracket": { backgroundColor: "var(--bad-wash)" },
  ".cm-tooltip": {
    backgroundColor: "var(--panel)", color: "var(--ink)", border: "1px solid var(--line-strong)",
    borderRadius: "var(--radius)", boxShadow: "var(--shadow)", maxWidth: "min(460px, calc(100vw - 24px))",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "12.5px", maxHeight: "15em" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "2px 8px", display: "flex", gap: "12px", alignItems: "baseline" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": { background: "var(--accent-wash)", color: "var(--ink)" },
  ".cm-completionMatchedText": { textDecoration: "none", fontWeight: "700", color: "var(--accent)" },
  ".cm-completionDetail": { marginLeft: "auto", fontStyle: "normal", color: "var(--ink-soft)", fontSize: "11.5px" },
  ".cm-completionInfo": { padding: "8px 12px", width: "max-content", maxWidth: "min(340px, calc(100vw - 24px))" },
  ".cm-tooltip-hover": { padding: "0" },
  ".cm-tooltip-section": { padding: "8px 12px" },
  ".cm-diagnostic": { padding: "7px 12px", borderLeft: "4px solid var(--bad)", whiteSpace: "pre-wrap" },
  ".cm-diagnostic-warning": { borderLeftColor: "var(--warn)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)", textDecorationSkipInk: "none", textUnderlineOffset: "3px" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--warn)", textDecorationSkipInk: "none", textUnderlineOffset: "3px" },
  ".cm-lintRange-active": { backgroundColor: "var(--bad-wash)" },
  ".cm-gutter-lint": { width: "14px" },
  ".cm-gutter-lint .cm-gutterElement": { padding: "0 0 0 4px" },
  ".cm-lint-marker": { width: "10px", height: "10px", content: "none", borderRadius: "50%", marginTop: "5px" },
  ".cm-lint-marker-error": { background: "var(--bad)" },
  ".cm-lint-marker-warning": { background: "var(--warn)", borderRadius: "2px", transform: "rotate(45deg) scale(0.85)" },
  ".cm-panels": { backgroundColor: "var(--sunk)", color: "var(--ink)" },
  ".cm-panels.cm-panels-bottom": { borderTop: "1px solid var(--line)" },
  ".cm-panels.cm-panels-top": { borderBottom: "1px solid var(--line)" },
  ".cm-panel.cm-search": { padding: "8px 34px 8px 10px", display: "flex", flexWrap: "wrap", gap: "6px", alignItems: "center" },
  ".cm-panel.cm-search br": { display: "none" },
  ".cm-panel.cm-search label": { display: "inline-flex", gap: "4px", alignItems: "center", margin: "0" },
  ".cm-textfield": { backgroundColor: "var(--panel)", border: "1px solid var(--line-strong)", borderRadius: "var(--radius)", color: "var(--ink)", margin: "0" },
  ".cm-button": { backgroundImage: "none", backgroundColor: "var(--panel)", border: "1px solid var(--line-strong)", borderRadius: "var(--radius)", color: "var(--ink)", margin: "0" },
  ".cm-changedLine": { backgroundColor: "var(--good-wash)" },
  ".cm-deletedChunk": { backgroundColor: "var(--bad-wash)", paddingLeft: "8px" },
  "&.cm-merge-b .cm-changedText": { background: "none", boxShadow: "inset 0 -2px 0 var(--good)" },
  ".cm-deletedChunk .cm-deletedText": { background: "none", boxShadow: "inset 0 -2px 0 var(--bad)" },
  ".cm-collapsedLines": { background: "var(--sunk)", color: "var(--ink-soft)", padding: "3px 10px", borderBlock: "1px solid var(--line)" },
  ".cm-collapsedLines::before, .cm-collapsedLines::after": { content: "none" },
});

/** The policy of the page forbids styles but those with its nonce. */
function nonced(): Extension {
  const meta = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]');
  return EditorView.cspNonce.of(meta?.nonce ?? "");
}

/** All of it. */
export function look(): Extension {
  return [nonced(), surface, hanging, EditorView.lineWrapping, wrapping, syntaxHighlighting(colours)];
}

const DEEPEST = 24;

/** What is wrapped hangs below its own indent; by classes, as the policy forbids styles of elements. */
const hanging = EditorView.theme(
  Object.fromEntries(
    Array.from({ length: DEEPEST + 1 }, (_, deep) => [
      `.cm-line.hang-${deep}`,
      { paddingLeft: `calc(8px + ${deep + 2}ch)`, textIndent: `-${deep + 2}ch` },
    ]),
  ),
);

const wrapping = ViewPlugin.fromClass(
  class {
    decorations: DecorationSet;

    constructor(view: EditorView) {
      this.decorations = hung(view);
    }

    update(update: ViewUpdate): void {
      if (update.docChanged || update.viewportChanged) this.decorations = hung(update.view);
    }
  },
  { decorations: (plugin) => plugin.decorations },
);

function hung(view: EditorView): DecorationSet {
  const made = new RangeSetBuilder<Decoration>();
  for (const { from, to } of view.visibleRanges) {
    for (let at = from; at <= to; ) {
      const line = view.state.doc.lineAt(at);
      const deep = Math.min(/^\s*(?:- +)?/.exec(line.text)?.[0].length ?? 0, DEEPEST);
      made.add(line.from, line.from, Decoration.line({ class: `hang-${deep}` }));
      at = line.to + 1;
    }
  }
  return made.finish();
}
