/** JSON for editors, token by token, whatever stands there: it colours and indents, and what is wrong others say. */
import { StreamLanguage, type StringStream } from "@codemirror/language";

const TOKENS: [RegExp, string][] = [
  [/^"(?:[^"\\]|\\.)*"(?=\s*:)/, "propertyName"],
  [/^"(?:[^"\\]|\\.)*"?/, "string"],
  [/^-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/, "number"],
  [/^(?:true|false|null)\b/, "atom"],
  [/^[{}[\]]/, "bracket"],
  [/^[,:]/, "separator"],
];

/** The depth in brackets is all that is known of a place. */
export const jsonLanguage = StreamLanguage.define<{ deep: number }>({
  name: "json",
  startState: () => ({ deep: 0 }),
  token(stream, state) {
    if (stream.eatSpace()) return null;
    for (const [pattern, tag] of TOKENS) {
      if (stream.match(pattern)) return tag === "bracket" ? bracket(stream, state) : tag;
    }
    stream.next();
    return "invalid";
  },
  indent: ({ deep }, after, { unit }) => Math.max(0, deep - (/^\s*[}\]]/.test(after) ? 1 : 0)) * unit,
  languageData: { closeBrackets: { brackets: ["[", "{", '"'] } },
});

function bracket(stream: StringStream, state: { deep: number }): string {
  state.deep = Math.max(0, state.deep + ("{[".includes(stream.current()) ? 1 : -1));
  return "bracket";
}
