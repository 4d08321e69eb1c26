/** What is told where the pointer rests, and the hits of each rule at the end of its first line. */
import { StateEffect, StateField, type EditorState, type Extension, type Text } from "@codemirror/state";
import { Decoration, EditorView, hoverTooltip, WidgetType, type DecorationSet } from "@codemirror/view";
import { count, plural } from "../../../parts/format.ts";
import { cardOfCallable, cardOfField, cardOfKey, cardOfRule, element } from "./cards.ts";
import { callable, keysAt, type Facts } from "./facts.ts";
import { outlineOf, placeAt, ruleAt } from "./outline.ts";

/** Tooltips of functions, fields, keys and rules. */
export function hoverOf(facts: () => Facts): Extension {
  return hoverTooltip((view, pos) => {
    const { doc } = view.state;
    const line = doc.lineAt(pos);
    const found = wordAt(line.text, pos - line.from);
    const card = (found && ofWord(doc, line.from, found, facts())) || ofRule(doc, line.number, facts());
    if (!card) return null;
    const [from, to] = found ? [line.from + found.from, line.from + found.to] : [pos, pos];
    return { pos: from, end: to, above: true, create: () => ({ dom: card }) };
  }, { hideOnChange: true });
}

interface Word {
  text: string;
  /** With what stands before its dots. */
  chain: string;
  from: number;
  to: number;
}

function wordAt(line: string, at: number): Word | null {
  let [from, to] = [at, at];
  while (from > 0 && /\w/.test(line[from - 1] ?? "")) from--;
  while (to < line.length && /\w/.test(line[to] ?? "")) to++;
  if (from === to) return null;
  const chain = /[\w.\]["'?]*$/.exec(line.slice(0, to))?.[0] ?? "";
  return { text: line.slice(from, to), chain: chain.replaceAll("?.", "."), from, to };
}

function ofWord(doc: Text, lineFrom: number, word: Word, facts: Facts): HTMLElement | undefined {
  const place = placeAt(doc, lineFrom + word.to);
  if (place.isCel) {
    const isCalled = doc.sliceString(lineFrom + word.to, lineFrom + word.to + 1) === "(";
    if (isCalled) {
      const [found] = callable(word.chain, false).concat(callable(word.text, word.chain.includes(".")));
      return found && cardOfCallable(found);
    }
    const field = facts.fields.find(({ path }) => path === word.chain);
    return field && cardOfField(field);
  }
  const isKey = /^\s*:/.test(doc.lineAt(lineFrom).text.slice(word.to));
  if (!isKey) return undefined;
  const told = keysAt(place.path).find(([key]) => key === word.text)?.[1];
  return told && word.text !== "name" ? cardOfKey(word.text, told) : undefined;
}

function ofRule(doc: Text, line: number, facts: Facts): HTMLElement | null {
  const rule = ruleAt(doc, line);
  if (rule?.nameLine !== line) return null;
  const counted = rule && facts.rules.get(rule.name);
  return counted ? cardOfRule(counted, null) : null;
}

/** Say anew how often rules matched. */
export const toldHits = StateEffect.define<Facts>();

class Hits extends WidgetType {
  constructor(
    private readonly records: number,
    private readonly errors: number,
  ) {
    super();
  }

  override eq(other: Hits): boolean {
    return other.records === this.records && other.errors === this.errors;
  }

  override toDOM(): HTMLElement {
    const failed = this.errors > 0 && element("span", "hits-errors", `, ${plural(this.errors, "error")}`);
    return element("span", "hits", count(this.records), failed);
  }

  override get estimatedHeight(): number {
    return -1;
  }
}

const field = StateField.define<{ facts: Facts | null; shown: DecorationSet }>({
  create: () => ({ facts: null, shown: Decoration.none }),
  update(value, transaction) {
    const told = transaction.effects.find((effect) => effect.is(toldHits))?.value as Facts | undefined;
    if (!told && !transaction.docChanged) return value;
    const facts = told ?? value.facts;
    return { facts, shown: facts ? shownOf(transaction.state, facts) : Decoration.none };
  },
  provide: (of) => EditorView.decorations.from(of, ({ shown }) => shown),
});

/** How often each rule matched, softly behind its first line. */
export const hits: Extension = field;

function shownOf(state: EditorState, facts: Facts): DecorationSet {
  const made = outlineOf(state.doc).rules.flatMap(({ name, nameLine }) => {
    const rule = facts.rules.get(name);
    if (!rule) return [];
    const widget = Decoration.widget({ widget: new Hits(rule.records, rule.errors), side: 1 });
    return [widget.range(state.doc.line(nameLine).to)];
  });
  return Decoration.set(made, true);
}
