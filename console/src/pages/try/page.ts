import { html } from "../../html.ts";
import { Empty } from "../../parts/notes.ts";

/** The page. */
export function TryPage(_props: { flow: string | null }) {
  return html`<${Empty} title="Try it" />`;
}
