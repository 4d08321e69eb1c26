/** Before many letters are replayed or deleted: how many, which, and what will become of them. */
import { signal, useSignal } from "@preact/signals";
import { purge, replay, type How, type Meant } from "../../api/letters.ts";
import { refine, route } from "../../app/route.ts";
import { html } from "../../html.ts";
import { duration, plural } from "../../parts/format.ts";
import { complain, Dialog, say } from "../../parts/notes.ts";

/** Letters that something is to be done with. */
export interface Many {
  meant: Meant;
  count: number;
  /** Of them, those that go straight to a sink. */
  toSink: number;
  /** Which they are, in words. */
  words: string;
}

export const asked = signal<{ what: "replay" | "purge"; many: Many; then: () => void } | null>(null);

const UNHURRIED = 1_000;
const close = () => (asked.value = null);

/** What is asked now, if anything. */
export function Ask() {
  const { what, many, then } = asked.value ?? {};
  if (!many || !then) return null;
  return what === "replay" ? html`<${Replay} many=${many} then=${then} />` : html`<${Purge} many=${many} then=${then} />`;
}

/** Have letters replayed at once, and watch. */
export async function start(meant: Meant, how: How = {}): Promise<boolean> {
  try {
    const { job } = await replay(meant, how);
    refine({ job });
    return true;
  } catch (error) {
    complain(error);
    return false;
  }
}

interface About {
  many: Many;
  then: () => void;
}

function Replay({ many, then }: About) {
  const rate = useSignal(many.count > UNHURRIED ? String(UNHURRIED) : "");
  const isBusy = useSignal(false);
  // Whoever has just applied rules comes by such a link, to have them decide.
  const isThrough = useSignal(route.value.query.get("rules") === "now");
  const wanted = Number(rate.value);
  const isRate = rate.value.trim() === "" || (wanted > 0 && wanted <= 1e9);
  const straight = isThrough.value ? 0 : many.toSink;
  const byFlow = many.count - straight;
  const begin = async (event: Event) => {
    event.preventDefault();
    isBusy.value = true;
    const how = { ...(rate.value.trim() ? { rate: wanted } : {}), ...(isThrough.value ? { through_flow: true } : {}) };
    if (await start(many.meant, how)) {
      close();
      then();
    }
    isBusy.value = false;
  };
  return html`<${Dialog} title="Replay ${plural(many.count, "dead letter")}" close=${close}><form class="ask" onSubmit=${begin}>
    ${many.words && html`<p class="why">${many.words}</p>`}
    <ul class="ask-facts">
      ${straight > 0 && html`<li><b>${straight.toLocaleString("en")}</b> of stage sink: straight to the sink, as they were to go out</li>`}
      ${byFlow > 0 && html`<li><b>${byFlow.toLocaleString("en")}</b> through their flow, by the rules as they are now</li>`}</ul>
    ${many.toSink > 0 && html`<label class="ask-through"><input type="checkbox" checked=${isThrough.value}
        onInput=${(event: Event) => (isThrough.value = (event.currentTarget as HTMLInputElement).checked)} />
      <span>Those of stage sink, too, by the rules as they are now: what came goes to every sink that these choose, also to those that have had it</span></label>`}
    <label>At most so many a second
      <input type="number" inputmode="decimal" min="0.1" max="1000000000" step="any" value=${rate.value} placeholder="as fast as they go"
        onInput=${(event: Event) => (rate.value = (event.currentTarget as HTMLInputElement).value)} /></label>
    <p class="none">${isRate && wanted > 0 ? `It takes about ${duration(many.count / wanted)}. ` : ""}What is not on its way yet can be withdrawn.</p>
    <p class="actions"><button type="submit" class="primary" disabled=${isBusy.value || !isRate}>Replay ${many.count.toLocaleString("en")}</button>
      <button type="button" onClick=${close}>Cancel</button></p></form><//>`;
}

function Purge({ many, then }: About) {
  const isBusy = useSignal(false);
  const begin = async (event: Event) => {
    event.preventDefault();
    isBusy.value = true;
    try {
      say(`${plural(await purge(many.meant), "dead letter")} purged`);
      close();
      then();
    } catch (error) {
      complain(error);
    }
    isBusy.value = false;
  };
  return html`<${Dialog} title="Purge ${plural(many.count, "dead letter")}?" close=${close}><form class="ask" onSubmit=${begin}>
    ${many.words && html`<p class="why">${many.words}</p>`}
    <p><b>${plural(many.count, "record")}</b> will be gone for ever: ${many.count === 1 ? "it is" : "they are"} kept nowhere else. It is written into the audit.</p>
    <p class="actions"><button type="submit" class="danger" disabled=${isBusy.value}>Purge ${many.count.toLocaleString("en")}</button>
      <button type="button" onClick=${close}>Cancel</button></p></form><//>`;
}
