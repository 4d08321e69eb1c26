/** The console: one page, which shows what the part of the address behind `#` says. */
import { render } from "preact";
import { begin } from "./api/live.ts";
import { route } from "./app/route.ts";
import { Shell } from "./app/shell.ts";
import { html } from "./html.ts";
import { AuditPage } from "./pages/audit/page.ts";
import { ConfigurationPage } from "./pages/configuration/page.ts";
import { DeadLettersPage } from "./pages/dead_letters/page.ts";
import { FlowPage } from "./pages/flow/page.ts";
import { RecordPage } from "./pages/record/page.ts";
import { StreamsPage } from "./pages/streams/page.ts";
import { TryPage } from "./pages/try/page.ts";
import { Empty } from "./parts/notes.ts";
import "./style/index.css";

function Page() {
  const [first, ...rest] = route.value.path;
  switch (first) {
    case undefined:
      return html`<${StreamsPage} />`;
    case "flows":
      if (rest[1] === "samples" && rest[2]) return html`<${RecordPage} flow=${rest[0]} id=${rest[2]} />`;
      if (rest[0]) return html`<${FlowPage} key=${rest[0]} name=${rest[0]} />`;
      return html`<${StreamsPage} />`;
    case "dead-letters":
      return html`<${DeadLettersPage} id=${rest[0] ?? null} />`;
    case "try":
      return html`<${TryPage} flow=${rest[0] ?? null} />`;
    case "history":
      return html`<${AuditPage} />`;
    case "configuration":
      return html`<${ConfigurationPage} />`;
    default:
      return html`<${Empty} isPage title="There is no such page"><p><a href="#/">To the streams</a></p><//>`;
  }
}

const root = document.getElementById("root");
if (root) {
  render(html`<${Shell}><${Page} /><//>`, root);
  begin();
}
