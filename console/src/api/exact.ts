/** JSON read so that integers of any size stay what they are: `JSON.stringify` gives those beyond 2^53 back digit for digit. */

/** What ECMAScript has and its declarations do not yet; browsers older than that read such integers as floats. */
interface Exact {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON?(text: string): object;
}

const json = JSON as unknown as Exact;
/** Whether there may be one: most answers have none, and are read as fast as the browser can. */
const MAY_BE_BIG = /(?:^|[^\d.])\d{16}|\d[eE]\+?\d{2}/;

/** What the text means. A big number is an object that stands for its digits; it is there to be shown, or sent back. */
export function parsed(text: string): unknown {
  const raw = json.rawJSON;
  if (!raw || !MAY_BE_BIG.test(text)) return JSON.parse(text);
  return json.parse(text, (_, value, { source }) =>
    typeof value === "number" && source && Math.abs(value) > Number.MAX_SAFE_INTEGER ? raw(source) : value,
  );
}
