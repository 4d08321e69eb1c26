import { html } from "../../html.ts";
import { Empty } from "../../parts/notes.ts";

/** The page. */
export function DeadLettersPage(_props: { id: string | null }) {
  return html`<${Empty} title="Dead letters" />`;
}
