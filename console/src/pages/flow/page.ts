import { html } from "../../html.ts";
import { Empty } from "../../parts/notes.ts";

/** The page. */
export function FlowPage(_props: { name: string }) {
  return html`<${Empty} title="Flow" />`;
}
