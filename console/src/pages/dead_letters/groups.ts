/** Letters that are alike, the most first: how many, why, where, and since when. */
import { useState } from "preact/hooks";
import type { Group } from "../../api/letters.ts";
import { now } from "../../api/live.ts";
import { href } from "../../app/route.ts";
import { html } from "../../html.ts";
import { ago, bytes, clock, count, plural } from "../../parts/format.ts";
import { Text } from "../../parts/payload.ts";
import { filter, isOnly, linkTo } from "./filters.ts";

const SHOWN = 6;

/** The groups. */
export function Groups({ groups, leftOut }: { groups: readonly Group[]; leftOut: number }) {
  const [all, setAll] = useState(false);
  const most = groups.length > 1 ? (groups[0]?.count ?? 0) : 0;
  const shown = groups.slice(0, all ? groups.length : SHOWN);
  return html`<section class="groups panel" aria-label="Grouped by reason"><ul>${shown.map(
    (group) => html`<${Row} key=${keyOf(group)} group=${group} most=${most} />`,
  )}</ul>
  ${groups.length > SHOWN && html`<p class="groups-more"><button type="button" class="quiet" aria-expanded=${all} onClick=${() => setAll(!all)}>
    ${all ? "Show the largest alone" : `Show all ${groups.length} reasons`}</button>
    ${all && leftOut > 0 ? html`<span class="none">and ${leftOut} more, with few letters each</span>` : null}</p>`}</section>`;
}

function keyOf({ flow, stage, source, sink, rule, reason }: Group): string {
  return JSON.stringify([flow, stage, source, sink, rule, reason]);
}

function Row({ group, most }: { group: Group; most: number }) {
  const only = isOnly(group);
  const link = only ? href(["dead-letters"], { since: filter.value.since, when: filter.value.when }) : linkTo(group);
  const title = `${plural(group.count, "dead letter")}, ${bytes(group.bytes)}; the oldest of ${clock(group.oldest)}, the newest of ${clock(group.newest)}`;
  return html`<li><a class="group" href=${link} aria-current=${only ? "true" : null} title=${title}>
    <b class="group-count">${count(group.count)}</b>
    <span class="group-why"><span class="group-reason"><${Text} text=${group.reason.replaceAll("_", " ")} /></span>
      <span class="group-detail why">${group.count > 1 && html`<span class="none">for example: </span>`}<${Text} text=${group.detail} longest=${400} /></span></span>
    <span class="group-where"><${Where} of=${group} /></span>
    <span class="group-when none">${ago(Date.parse(group.newest) / 1000, now.value)}</span>
    ${most > 0 && html`<span class="group-share" aria-hidden="true"><span style=${{ width: `${(100 * group.count) / most}%` }}></span></span>`}</a></li>`;
}

interface Placed {
  flow: string;
  stage: string;
  rule: string | null;
  sink: string | null;
}

/** Where it happened: stage, flow, rule, sink. */
export function Where({ of }: { of: Placed }) {
  return html`<span class="where"><span class="stage">${of.stage}</span> <${Text} text=${of.flow} />${of.rule && html` <span class="none" aria-hidden="true">›</span> <${Text} text=${of.rule} />`}${of.sink && html` <span class="none" aria-label="to">→</span> <${Text} text=${of.sink} />`}</span>`;
}
