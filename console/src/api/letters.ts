/** Dead letters, as the daemon tells of them, and what can be asked to be done with them. */
import { at, get, post, type Parameters } from "./client.ts";
import type { Raw } from "./types.ts";

/** Which letters: those that agree with everything given. Empty texts are none. */
export interface Filter {
  flow: string;
  stage: string;
  source: string;
  sink: string;
  rule: string;
  reason: string;
  /** A time, or an age such as `10m`. */
  since: string;
  until: string;
  /** A condition in CEL. */
  when: string;
}

/** Those that are alike. */
export interface Group {
  flow: string;
  stage: string;
  source: string;
  sink: string | null;
  rule: string | null;
  reason: string;
  /** Of one of them. */
  detail: string;
  count: number;
  bytes: number;
  oldest: string;
  newest: string;
  newest_id: number;
}

/** A letter in a list; of `value` the beginning, where `size` is more. */
export interface Listed {
  id: number;
  time: string;
  flow: string;
  stage: string;
  source: string;
  rule: string | null;
  sink: string | null;
  reason: string;
  detail: string;
  attempts: number;
  version: string;
  size: number;
  value: Raw | null;
}

export interface Record {
  value: Raw | null;
  key: Raw | null;
  headers: [string, Raw][] | null;
}

export interface Letter extends Listed, Record {
  record_time: string | null;
  attributes: { [name: string]: unknown };
  out_value: Raw | null;
  out_size: number | null;
  out_key: Raw | null;
  out_headers: [string, Raw][] | null;
  out_settings: { [name: string]: unknown };
  /** What came first, where it was amended: the record, or what was to go out. */
  original: (Record & { what: "record" | "outgoing"; amended: string }) | null;
}

export interface Page {
  letters: Listed[];
  next: number | null;
}

/** A replay that was asked for, in letters. */
export interface Job {
  job: number;
  requested: number;
  waiting: number;
  delivered: number;
  again: number;
  gone: number;
}

/** Letters by a filter, or by their ids. */
export type Meant = Partial<Filter> | { id: readonly number[] };

const LISTS = new Set(["flow", "stage", "source", "sink", "rule", "reason"]);

/** So many letters more, oldest first, behind the one with this id. */
export function page(filter: Filter, after: number, limit: number, cut: number): Promise<Page> {
  return get<Page>("/api/dead_letters", { ...(filter as unknown as Parameters), after, limit, cut });
}

/** How letters are replayed: so many a second at most, and whether those of stage sink, too, go through their flow. */
export interface How {
  rate?: number;
  through_flow?: boolean;
}

/** Have them replayed. */
export function replay(meant: Meant, how: How): Promise<Job> {
  return post<Job>("/api/dead_letters/replay", { ...body(meant), ...how });
}

/** Those that are not on their way yet stay. */
export function withdraw(job: number): Promise<Job> {
  return post<Job>(at`/api/dead_letters/replays/${job}/withdraw`);
}

/** Delete them; how many there were. */
export async function purge(meant: Meant): Promise<number> {
  return (await post<{ purged: number }>("/api/dead_letters/purge", body(meant))).purged;
}

function body(meant: Meant): { [name: string]: unknown } {
  if ("id" in meant) return { id: meant.id };
  const given = Object.entries(meant).filter(([, value]) => value);
  const told = given.map(([name, value]) => [name, LISTS.has(name) ? [value] : value]);
  return told.length ? Object.fromEntries(told) : { all: true };
}

/** Whether a replay sends what was to go out, as it was made by the rules, straight to the sink. */
export function isOutgoing(letter: Letter): boolean {
  return letter.stage === "sink" && letter.out_size !== null;
}

/** What a replay sends of the letter. */
export function sent(letter: Letter): Record & { size: number } {
  if (!isOutgoing(letter)) return letter;
  return { value: letter.out_value, key: letter.out_key, headers: letter.out_headers, size: letter.out_size ?? 0 };
}

/** What a replay sends from now on. */
export type Amended = ({ text: string } | { base64: string }) & { key?: string };

/** Put something else in the place of what a replay sends; what came first is kept beside it. */
export function amend(id: number, record: Amended): Promise<unknown> {
  return post(at`/api/dead_letters/${id}/amend`, record);
}

/** How many letters a condition takes, and which they are, up to `most`. */
export async function counted(filter: Filter, most: number): Promise<{ ids: number[]; isAll: boolean }> {
  const ids: number[] = [];
  let next: number | null = 0;
  while (next !== null && ids.length <= most) {
    const found: Page = await page(filter, next, 500, 0);
    ids.push(...found.letters.map((letter) => letter.id));
    next = found.next;
  }
  return { ids: ids.slice(0, most), isAll: next === null && ids.length <= most };
}
