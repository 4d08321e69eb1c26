/** JSON as text, laid out without being read: numbers of any size stay what they are, and so does the order of keys. */

const DEEPEST = 64;
const INDENT = "  ";

/** JSON with a line for each member; null for what is no object or list, or is nested too deep to be read so. */
export function laidOut(text: string): string | null {
  const made: string[] = [];
  let depth = 0;
  let isFresh = false;
  if (!isStructure(text)) return null;
  for (const token of tokens(text)) {
    const closes = token === "}" || token === "]";
    if (closes) depth--;
    if (isFresh !== closes && (isFresh || closes)) made.push("\n", INDENT.repeat(depth));
    isFresh = token === "{" || token === "[";
    if (isFresh && ++depth > DEEPEST) return null;
    made.push(token === ":" ? ": " : token);
    if (token === ",") made.push("\n", INDENT.repeat(depth));
  }
  return made.join("");
}

/** The same JSON on one line; the text itself where it is none. */
export function onOneLine(text: string): string {
  return isJson(text) ? [...tokens(text)].join("") : text;
}

/** Whether it is JSON. */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function isStructure(text: string): boolean {
  return /^\s*[[{]/.test(text) && isJson(text);
}

const PLAIN = /[^\s{}[\],:"]+/y;

/** The tokens of a text that is JSON. */
function* tokens(text: string): Iterable<string> {
  for (let place = 0; place < text.length; ) {
    const first = text[place] ?? "";
    if (first === '"') {
      const end = endOfString(text, place);
      yield text.slice(place, end);
      place = end;
    } else if ("{}[],:".includes(first)) {
      yield first;
      place++;
    } else {
      PLAIN.lastIndex = place;
      const found = PLAIN.exec(text)?.[0];
      if (found) yield found;
      place += found?.length ?? 1;
    }
  }
}

function endOfString(text: string, start: number): number {
  let end = start;
  for (;;) {
    end = text.indexOf('"', end + 1);
    if (end < 0) return text.length;
    let slashes = 0;
    while (text[end - 1 - slashes] === "\\") slashes++;
    if (slashes % 2 === 0) return end + 1;
  }
}
