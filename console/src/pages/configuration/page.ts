import { html } from "../../html.ts";
import { Empty } from "../../parts/notes.ts";

/** The page. */
export function ConfigurationPage() {
  return html`<${Empty} title="Configuration" />`;
}
