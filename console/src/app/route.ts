/**
 * Where we are: the part of the address behind `#`. Every state that matters stands in it, so that a link shows another
 * person the same, and "back" goes back.
 */
import { signal } from "@preact/signals";

export interface Route {
  /** The decoded parts of the path: `#/flows/a%2Fb` is `["flows", "a/b"]`. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

export type Query = Record<string, string | number | null | undefined>;

export const route = signal<Route>(parsed(location.hash));

addEventListener("hashchange", () => {
  route.value = parsed(location.hash);
});

/** The link to a page: `href(["flows", name], {rule})`. What is null or empty is left out of the query. */
export function href(path: readonly string[], query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** The link to the same page with some of the query changed. */
export function here(changes: Query): string {
  return href(route.value.path, { ...Object.fromEntries(route.value.query), ...changes });
}

/** Go to a page; "back" leads here again. */
export function go(path: readonly string[], query: Query = {}): void {
  location.hash = href(path, query);
}

/** Change some of the query and leave the rest. With `replace`, "back" leads past it. */
export function refine(changes: Query, replace = true): void {
  const link = here(changes);
  if (!replace) {
    location.hash = link;
    return;
  }
  history.replaceState(null, "", link);
  route.value = parsed(link);
}

function parsed(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { path: path.split("/").filter(Boolean).map(decoded), query: new URLSearchParams(query) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
