/** The way from a letter to the text of the rule that made it one, to be changed and tried on such letters. */
import { at } from "../../api/client.ts";
import type { FlowDetail } from "../../api/types.ts";
import { href } from "../../app/route.ts";
import { html } from "../../html.ts";
import { useGet } from "../../parts/use.ts";

interface Of {
  flow: string;
  stage: string;
  rule: string | null;
}

/** Letters that are tried: so many stand in an address. */
const TRIED = 50;

/** A link, unless no rule and no contract has to do with it. */
export function RuleLink({ of, ids = [], class: name = "" }: { of: Of; ids?: readonly number[]; class?: string }) {
  const isAsked = of.rule !== null || of.stage === "contract";
  const { data } = useGet<FlowDetail>(isAsked ? at`/api/flows/${of.flow}` : null);
  if (!isAsked) return null;
  const line = data?.detail.find((rule) => rule.name === of.rule)?.line;
  const tried = { on: "dead", letters: ids.slice(0, TRIED).join(",") };
  return html`<a class="button ${name}" href=${href(["try", of.flow], { line, ...tried })}>Edit the ${of.rule === null ? "contract" : "rule"}</a>`;
}
