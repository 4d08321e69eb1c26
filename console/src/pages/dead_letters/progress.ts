/** A replay as it goes on: what went through, what came back, what still waits; and its end. */
import { useRef } from "preact/hooks";
import { withdraw, type Job } from "../../api/letters.ts";
import { at } from "../../api/client.ts";
import { href, refine } from "../../app/route.ts";
import { html } from "../../html.ts";
import { duration, perSecond, plural } from "../../parts/format.ts";
import { complain, Failure } from "../../parts/notes.ts";
import { State, type Tone } from "../../parts/state.ts";
import { useGet } from "../../parts/use.ts";

const POLL_SECONDS = 0.5;

/** Of the job with this number. */
export function Progress({ job }: { job: string }) {
  const known = useRef<Job | null>(null);
  const isOver = known.current?.waiting === 0;
  const { data, error } = useGet<Job>(at`/api/dead_letters/replays/${job}`, {}, isOver ? 0 : POLL_SECONDS);
  const began = useRef<{ time: number; done: number } | null>(null);
  known.current = data;
  if (error && !data) return html`<${Failure} error=${error} again=${() => refine({ job: null })} />`;
  if (!data) return null;
  const done = data.requested - data.waiting;
  began.current ??= { time: performance.now(), done };
  const seconds = (performance.now() - began.current.time) / 1000;
  const rate = seconds > 1 ? (done - began.current.done) / seconds : null;
  return html`<section class="progress panel" aria-label="Replay ${job}">
    <div class="progress-head"><${Head} job=${data} />
      ${data.waiting > 0 && rate ? html`<span class="none">${perSecond(rate)}, ${duration(data.waiting / rate)} left</span>` : null}
      <span class="progress-actions">${data.waiting > 0
        ? html`<button type="button" onClick=${() => withdraw(data.job).catch(complain)}>Withdraw the rest</button>`
        : html`<button type="button" class="quiet" onClick=${() => refine({ job: null })} aria-label="Put the replay away">✕</button>`}</span></div>
    <${Bar} job=${data} done=${done} />
    <p class="progress-legend"><${Part} name="through" tone="good" many=${data.delivered} />
      <${Part} name="came back" tone="bad" many=${data.again} /><${Part} name="gone or withdrawn" tone="off" many=${data.gone} />
      <${Part} name="to go" tone="busy" many=${data.waiting} />
      ${data.again > 0 && html`<a href=${href(["dead-letters"], { when: "attempts > 1", job })}>What came back</a>`}</p>
    ${data.again > 0 && data.waiting === 0 && html`<p class="none">A letter of stage sink goes out again as it was made then. Where a rule
      has been mended since, replay it by the rules of now.</p>`}</section>`;
}

function Head({ job }: { job: Job }) {
  if (job.waiting > 0) {
    return html`<${State} tone="busy">Replaying ${plural(job.requested, "dead letter")}<//>`;
  }
  if (job.delivered === job.requested) {
    const all = job.requested === 1 ? "It went through" : `All ${job.requested.toLocaleString("en")} went through`;
    return html`<${State} tone="good">${job.requested ? all : "There was nothing to replay"}<//>`;
  }
  if (job.again) return html`<${State} tone="bad">${job.again.toLocaleString("en")} of ${job.requested.toLocaleString("en")} came back as dead letters<//>`;
  return html`<${State} tone="off">${job.delivered.toLocaleString("en")} of ${job.requested.toLocaleString("en")} went through<//>`;
}

function Bar({ job, done }: { job: Job; done: number }) {
  const part = (many: number) => ({ width: `${(100 * many) / Math.max(1, job.requested)}%` });
  return html`<div class="progress-bar" role="progressbar" aria-label="Replayed" aria-valuemin="0" aria-valuemax=${job.requested} aria-valuenow=${done}>
    <span class="good" style=${part(job.delivered)}></span><span class="bad" style=${part(job.again)}></span>
    <span class="off" style=${part(job.gone)}></span></div>`;
}

function Part({ name, tone, many }: { name: string; tone: Tone; many: number }) {
  if (!many) return null;
  return html`<span class="progress-part"><span class="dot ${tone}" aria-hidden="true"></span><b>${many.toLocaleString("en")}</b> ${name}</span>`;
}
