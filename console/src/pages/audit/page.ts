import { html } from "../../html.ts";
import { Empty } from "../../parts/notes.ts";

/** The page. */
export function AuditPage() {
  return html`<${Empty} title="Audit" />`;
}
