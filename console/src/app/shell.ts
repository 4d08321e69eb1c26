/** What is around every page: where we are, how the daemon is, theme, token, keyboard. */
import { effect, signal, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { giveToken, needsToken, refusedToken, token } from "../api/client.ts";
import { connection, live } from "../api/live.ts";
import { html, type Child } from "../html.ts";
import { problems } from "../pages/streams/problems.ts";
import { clock, count } from "../parts/format.ts";
import { Dialog, Notes } from "../parts/notes.ts";
import { Sign, State } from "../parts/state.ts";
import { useHeadingFocus } from "./focus.ts";
import { known, useKeys } from "./keys.ts";
import { go, href, route } from "./route.ts";
import { switchTheme, theme } from "./theme.ts";

interface Place {
  readonly path: readonly string[];
  readonly name: string;
  readonly key: string;
}

/** The pages of the navigation. */
export const PLACES: readonly Place[] = [
  { path: [], name: "Streams", key: "s" },
  { path: ["dead-letters"], name: "Dead letters", key: "d" },
  { path: ["try"], name: "Try it", key: "t" },
  { path: ["history"], name: "Audit", key: "a" },
  { path: ["configuration"], name: "Configuration", key: "c" },
];

/** The page that is shown, in its surroundings. */
export function Shell({ children }: { children: Child }) {
  const help = useSignal(false);
  useKeys([
    ...PLACES.map(({ path, name, key }) => ({ keys: `g ${key}`, does: `Go to ${name}`, run: () => go(path) })),
    { keys: "/", does: "Search on the page", run: search },
    { keys: "t", does: "Switch the theme", run: switchTheme },
    { keys: "?", does: "Show the keys", run: () => (help.value = true) },
  ]);
  useEffect(() => {
    scrollTo(0, 0);
    document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [route.value.path.join("/")]);
  useHeadingFocus(pageOf(route.value.path));
  return html`<a class="skip" href="#page" onClick=${toPage}>To the page</a>
    <header class="bar"><a class="mark" href=${href([])} aria-label="Sluiceway: streams"><${Mark} /><span>Sluiceway</span></a>
      <${Navigation} /><${Health} />
      <button type="button" class="quiet" onClick=${switchTheme} title="Theme: ${theme.value}" aria-label="Theme: ${theme.value}">
        <${ThemeSign} /></button>
      <button type="button" class="quiet" onClick=${() => (help.value = true)} aria-label="Keys" title="Keys: ?">?</button></header>
    <${Lost} />
    <main id="page" tabindex="-1">${children}</main>
    <${Notes} />
    ${help.value && html`<${Keys} close=${() => (help.value = false)} />`}
    ${needsToken.value && !isPutAway.value && html`<${Token} />`}`;
}

/** What counts as a page: the files that are tried are chosen on one. */
function pageOf(path: readonly string[]): string {
  return path[0] === "try" ? "try" : path.join("/");
}

function toPage(event: Event): void {
  event.preventDefault();
  document.getElementById("page")?.focus();
}

function search(): void {
  const field = document.querySelector<HTMLElement>("[data-search]");
  field?.focus();
  if (field instanceof HTMLInputElement) field.select();
}

function Navigation() {
  const [first = ""] = route.value.path;
  const here = first === "flows" ? "" : first;
  const kept = Object.values(live.value?.dead_letters.kept ?? {}).reduce((sum, value) => sum + value, 0);
  return html`<nav aria-label="Pages">${PLACES.map(({ path, name }) => {
    const isHere = (path[0] ?? "") === here;
    const badge = name === "Dead letters" && kept > 0;
    return html`<a href=${href(path)} aria-current=${isHere ? "page" : null}>${name}
      ${badge && html` <span class="badge">${count(kept)}</span>`}</a>`;
  })}</nav>`;
}

effect(() => {
  const failing = problems.value.filter((problem) => problem.tone === "bad").length;
  document.title = failing ? `${failing} failing · Sluiceway` : "Sluiceway";
});

/** One look: whether all is well. One click: what is not. */
function Health() {
  const told = live.value;
  if (!told || connection.value.state === "lost") return html`<span class="health"></span>`;
  const found = problems.value;
  const bad = found.filter((problem) => problem.tone === "bad").length;
  const tone = bad ? "bad" : found.length ? "warn" : "good";
  const word = bad ? `${bad} failing` : found.length ? `${found.length} to look at` : "All well";
  return html`<a class="health" href=${href([])}><${State} tone=${tone}>${word}<//></a>`;
}

/** That what is shown is old. It never hides what is known. */
function Lost() {
  const { state, why } = connection.value;
  if (needsToken.value) {
    return html`<div class="lost" role="status"><${Sign} tone="bad" /><span><b>A token is needed</b></span>
      <button type="button" onClick=${() => (isPutAway.value = false)}>Enter it</button></div>`;
  }
  if (state !== "lost") return null;
  const since = live.value ? `; what is shown is of ${clock(live.value.time)}` : "";
  return html`<div class="lost" role="status"><${Sign} tone="bad" />
    <span><b>Not connected</b>: ${why?.message ?? "the daemon ended the stream"}${since}. Trying again.</span></div>`;
}

function Keys({ close }: { close: () => void }) {
  return html`<${Dialog} title="Keys" close=${close}><dl class="keys">${known.value.map(
    ({ keys, does }) => html`<div><dt>${keys.split(" ").map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${does}</dd></div>`,
  )}</dl><//>`;
}

/** Whether the question for the token was closed without an answer. */
const isPutAway = signal(false);

function Token() {
  const field = useRef<HTMLInputElement>(null);
  const isGiven = token.value !== "";
  const isWrong = isGiven && refusedToken.value === token.value;
  useEffect(() => field.current?.select(), [isWrong]);
  const give = (event: Event) => {
    event.preventDefault();
    giveToken(field.current?.value.trim() ?? "");
  };
  return html`<${Dialog} title="A token is needed" close=${() => (isPutAway.value = true)}><form onSubmit=${give} class="token">
    <p>This daemon shows nothing without the token that <code>http.token</code> of its configuration sets. It is kept in
      this tab until it is closed.</p>
    ${isWrong && html`<p class="why" role="alert">The token that was given is not it.</p>`}
    <label>Token <input ref=${field} type="password" autofocus autocomplete="off" required spellcheck=${false} /></label>
    <button type="submit" class="primary">${isGiven && !isWrong ? "Asking …" : "Continue"}</button></form><//>`;
}

function Mark() {
  return html`<svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" class="mark-sign">
    <path d="M2 7c4 0 4 5 8 5h12M2 12h20M2 17c4 0 4-5 8-5" /><path class="gate" d="M15 4.5v15" /></svg>`;
}

function ThemeSign() {
  const path = {
    light: "M8 4.8a3.2 3.2 0 100 6.4 3.2 3.2 0 000-6.4zM8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.2 1.2M11.8 11.8L13 13M13 3l-1.2 1.2M4.2 11.8L3 13",
    dark: "M13.2 9.6A5.6 5.6 0 016.4 2.8a5.6 5.6 0 106.8 6.8z",
    system: "M8 2.2a5.8 5.8 0 100 11.6zM8 2.2a5.8 5.8 0 010 11.6",
  }[theme.value];
  return html`<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" class="sign"><path d=${path} /></svg>`;
}
