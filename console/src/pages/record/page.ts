import { html } from "../../html.ts";
import { Empty } from "../../parts/notes.ts";

/** The page. */
export function RecordPage(_props: { flow: string; id: string }) {
  return html`<${Empty} title="Record" />`;
}
