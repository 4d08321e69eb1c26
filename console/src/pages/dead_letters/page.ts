/** Dead letters: why records could not be handled, and what can be done about it: amend, replay, purge, watch. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError, at, token } from "../../api/client.ts";
import { counted, isOutgoing, sent, type Filter, type Group, type Letter } from "../../api/letters.ts";
import { live } from "../../api/live.ts";
import { useKeys, type Key } from "../../app/keys.ts";
import { go, href, refine, route } from "../../app/route.ts";
import { html } from "../../html.ts";
import { bytes, plural } from "../../parts/format.ts";
import { complain, Empty, Failure, Loading } from "../../parts/notes.ts";
import { Text } from "../../parts/payload.ts";
import { Sign } from "../../parts/state.ts";
import { useGet } from "../../parts/use.ts";
import { Amend, edit } from "./amend.ts";
import { Ask, asked, start, type Many } from "./ask.ts";
import { filter, Filters, inWords, isFiltered, NAMES, within } from "./filters.ts";
import { Groups } from "./groups.ts";
import { CUT, LetterDetail, linkToLetter } from "./letter.ts";
import { chosen, cursor, Letters, toggle } from "./list.ts";
import { Loaded } from "./loaded.ts";
import { Progress } from "./progress.ts";
import { RuleLink } from "./rule_link.ts";

interface Told {
  groups: Group[];
  letters: number;
  left_out: number;
}

const CHANGES_MS = 2_000;
/** So many can be named one by one. */
const NAMED = 10_000;

/** The page: all that are asked for, and one of them when `id` says which. */
export function DeadLettersPage({ id }: { id: string | null }) {
  const asking = filter.value;
  const { when, ...kinds } = asking;
  const groups = useGet<Told>("/api/dead_letters/groups", kinds);
  const others = useGet<Told>(isFiltered.value ? "/api/dead_letters/groups" : null);
  const loaded = useMemo(() => new Loaded(asking), [JSON.stringify(asking), token.value]);
  useEffect(() => {
    chosen.value = new Set();
    cursor.value = -1;
    return () => loaded.close();
  }, [loaded]);
  const turn = useChanges(() => {
    groups.again();
    others.again();
    loaded.change();
  });
  const all = isFiltered.value ? others.data : groups.data;
  const open = id === null ? null : Number(id);
  const job = route.value.query.get("job");
  const total = groups.data?.letters ?? 0;
  useKeys(keysOf(loaded, open), [loaded, open]);
  const refused = [groups.error, loaded.error.value].find((error) => error instanceof ApiError && error.status === 400);
  const shown = groups.data?.groups ?? [];
  return html`<div class="dead-letters ${open === null ? "" : "with-letter"}">
    <header class="letters-head"><h1>Dead letters</h1><${Amount} told=${all} /></header>
    <${Filters} known=${all?.groups ?? []} fault=${refused instanceof Error ? refused.message : ""} />
    ${job && html`<${Progress} key=${job} job=${job} />`}
    <div class="letters-side">
      ${groups.error && !groups.data && !refused ? html`<${Failure} error=${groups.error} again=${groups.again} />` : null}
      ${open === null && shown.length > 0 && html`<${Groups} groups=${shown} leftOut=${groups.data?.left_out ?? 0} />`}
      <section class="panel letters-panel" aria-label="The letters">
        <${Bar} groups=${shown} total=${total} isKnown=${groups.data !== null} loaded=${loaded} />
        <${Letters} loaded=${loaded} total=${when ? 0 : total} id=${open} height=${useHeight(open === null)} /></section></div>
    ${open !== null && html`<${One} key=${open} id=${open} turn=${turn} loaded=${loaded} />`}
    <${Ask} /></div>`;
}

function Amount({ told }: { told: Told | null }) {
  if (!told) return null;
  const size = told.groups.reduce((sum, group) => sum + group.bytes, 0);
  return html`<p class="none">${told.letters ? html`<b>${told.letters.toLocaleString("en")}</b> kept, ${bytes(size)}` : "none are kept"}</p>`;
}

/** How high the list may be. */
function useHeight(isAlone: boolean): number {
  const [height, setHeight] = useState(innerHeight);
  useEffect(() => {
    const take = () => setHeight(innerHeight);
    addEventListener("resize", take);
    return () => removeEventListener("resize", take);
  }, []);
  return Math.max(350, height - (isAlone ? 330 : 290));
}

/** Do something a moment after letters came or went, or rules changed; how often that was. */
function useChanges(act: () => void): string {
  const told = live.value;
  const state = JSON.stringify([told?.dead_letters.kept, told?.config.version]);
  const latest = useRef(act);
  latest.current = act;
  const timer = useRef(0);
  const first = useRef<string | null>(null);
  useEffect(() => {
    if (!told) return;
    if (first.current !== null && first.current !== state && !timer.current) {
      timer.current = window.setTimeout(() => {
        timer.current = 0;
        latest.current();
      }, CHANGES_MS);
    }
    first.current = state;
  }, [state]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return told?.config.version ?? "";
}

interface InBar {
  groups: readonly Group[];
  total: number;
  /** Whether the daemon has said how many there are. */
  isKnown: boolean;
  loaded: Loaded;
}

/** What can be done with those that are chosen, or with all that are asked for. */
function Bar({ groups, total, isKnown, loaded }: InBar) {
  const ids = chosen.value;
  const only = groups.length === 1 ? groups[0] : undefined;
  const ask = async (what: "replay" | "purge") => {
    try {
      const many = ids.size ? some(ids, loaded) : await every(groups, total);
      asked.value = { what, many, then: () => ((chosen.value = new Set()), void loaded.refresh()) };
    } catch (error) {
      complain(error);
    }
  };
  const many = ids.size ? `${ids.size.toLocaleString("en")} chosen` : filter.value.when ? "these" : `all ${total.toLocaleString("en")}`;
  const tried = ids.size ? [...ids] : loaded.items.value.slice(0, 50).map((letter) => letter.id);
  const isNone = !ids.size && !loaded.items.value.length;
  return html`<div class="letters-bar">
    <p class="letters-many">${ids.size ? html`<b>${ids.size.toLocaleString("en")}</b> chosen <button type="button" class="quiet" onClick=${() => (chosen.value = new Set())}>None</button>`
      : filter.value.when ? html`Those for which <code><${Text} text=${filter.value.when} longest=${60} /></code>` : isKnown ? plural(total, "letter") : null}</p>
    <p class="actions">
      ${only && html`<${RuleLink} of=${only} ids=${tried} class="to-rule" />`}
      <button type="button" class="primary" disabled=${isNone} onClick=${() => ask("replay")}>Replay ${many} …</button>
      <button type="button" class="danger" disabled=${isNone} onClick=${() => ask("purge")}>Purge …</button></p></div>`;
}

function some(ids: ReadonlySet<number>, loaded: Loaded): Many {
  const letters = loaded.items.value.filter((letter) => ids.has(letter.id));
  const toSink = letters.filter((letter) => letter.stage === "sink").length;
  const named = letters.map((letter) => letter.id).slice(0, NAMED);
  return { meant: { id: named }, count: named.length, toSink, words: "" };
}

/** All that the filter takes, and none of those that come from now on. */
async function every(groups: readonly Group[], total: number): Promise<Many> {
  const asking = filter.value;
  const words = inWords(asking);
  if (asking.when) {
    const { ids, isAll } = await counted(asking, NAMED);
    const what = isAll ? words : `${words}: the oldest ${NAMED.toLocaleString("en")} of them`;
    const toSink = asking.stage === "sink" ? ids.length : 0;
    return { meant: { id: ids }, count: ids.length, toSink, words: what };
  }
  const toSink = groups.filter((group) => group.stage === "sink").reduce((sum, group) => sum + group.count, 0);
  const newest = groups.map((group) => group.newest).sort().at(-1);
  const until = newest ? new Date(Date.parse(newest) + 1).toISOString() : "";
  return { meant: { ...asking, until: asking.until || until } satisfies Filter, count: total, toSink, words };
}

interface OfOne {
  id: number;
  turn: string;
  loaded: Loaded;
}

/** One letter. */
function One({ id, turn, loaded }: OfOne) {
  const { data, error, again } = useGet<Letter>(at`/api/dead_letters/${id}`, { cut: CUT });
  const isEdited = route.value.query.get("edit") === "1";
  const kept = live.value?.dead_letters.kept[data?.flow ?? ""];
  useEffect(() => again(), [kept]);
  const isGone = error instanceof ApiError && error.status === 404;
  const replayOne = () => void start({ id: [id] });
  const byRules = () => void start({ id: [id] }, { through_flow: true });
  const purgeOne = () =>
    (asked.value = {
      what: "purge",
      many: { meant: { id: [id] }, count: 1, toSink: 0, words: `dead letter ${id}` },
      then: () => (void loaded.refresh(), again()),
    });
  return html`<article class="letter" aria-label="Dead letter ${id}"><header class="letter-head">
      <a class="button quiet back" href=${href(["dead-letters"], within())} aria-label="Close the letter">✕</a>
      <h2 data-heading>Dead letter ${id}</h2>
      ${data && !isGone && !isEdited && html`<p class="actions">
        <button type="button" class="primary" onClick=${replayOne}>Replay</button>
        ${isOutgoing(data) && html`<button type="button" onClick=${byRules}>Replay by the rules of now</button>`}
        <button type="button" onClick=${() => edit(true)}>${isOutgoing(data) ? "Edit what goes out" : "Edit the record"}</button>
        <${RuleLink} of=${data} ids=${[id]} />
        <button type="button" class="danger" onClick=${purgeOne}>Purge …</button></p>`}</header>
    ${isGone ? html`<${Empty} title="It is no dead letter any more"><p><${Sign} tone="good" /> It was replayed, or purged.</p>
        <p><a href=${href(["dead-letters"], within())}>To the others</a></p><//>`
      : !data ? (error ? html`<${Failure} error=${error} again=${again} />` : html`<${Loading} />`)
      : isEdited ? html`<${Whole} letter=${data} close=${() => edit(false)} again=${again} />`
      : html`<${LetterDetail} letter=${data} turn=${turn} />`}</article>`;
}

/** The editor, with all of the record. */
function Whole({ letter, close, again }: { letter: Letter; close: () => void; again: () => void }) {
  const isLong = sent(letter).size > CUT;
  const { data, error } = useGet<Letter>(isLong ? at`/api/dead_letters/${letter.id}` : null);
  if (isLong && !data) return error ? html`<${Failure} error=${error} />` : html`<${Loading} />`;
  return html`<${Amend} letter=${data ?? letter} close=${close} again=${again} />`;
}

/** The keyboard: down and up the list, open, choose, replay. */
function keysOf(loaded: Loaded, open: number | null): Key[] {
  const here = () => (open === null ? cursor.value : loaded.items.value.findIndex((letter) => letter.id === open));
  const move = (by: number) => {
    const place = Math.min(loaded.items.value.length - 1, Math.max(0, here() + by));
    const letter = loaded.items.value[place];
    cursor.value = place;
    if (open !== null && letter) location.replace(linkToLetter(letter.id));
  };
  const id = () => open ?? loaded.items.value[cursor.value]?.id;
  return [
    { keys: "j", does: "The next letter", run: () => move(1) },
    { keys: "k", does: "The letter before", run: () => move(-1) },
    { keys: "Enter", does: "Open the letter", run: () => id() !== undefined && go(["dead-letters", String(id())], within()) },
    { keys: "x", does: "Choose the letter", run: () => id() !== undefined && toggle(id() as number) },
    { keys: "r", does: "Replay the letter, or those that are chosen", run: () => void replayThese(loaded, id()) },
    { keys: "e", does: "Edit the record", run: () => open !== null && edit(true) },
    { keys: "Escape", does: "Close the letter", run: () => leave(open) },
  ];
}

function leave(open: number | null): void {
  if (route.value.query.get("edit")) edit(false);
  else if (open !== null) go(["dead-letters"], within());
  else if (chosen.value.size) chosen.value = new Set();
  else if (NAMES.some((name) => filter.value[name])) refine(Object.fromEntries(NAMES.map((name) => [name, null])), false);
}

async function replayThese(loaded: Loaded, id: number | undefined): Promise<void> {
  if (chosen.value.size) asked.value = { what: "replay", many: some(chosen.value, loaded), then: () => (chosen.value = new Set()) };
  else if (id !== undefined) await start({ id: [id] });
}
