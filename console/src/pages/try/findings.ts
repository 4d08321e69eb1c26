/** What is wrong with the texts, each thing a way to its place; and how the tests in them come out. */
import { html } from "../../html.ts";
import { Failure } from "../../parts/notes.ts";
import { plural } from "../../parts/format.ts";
import { Text } from "../../parts/payload.ts";
import { Sign, State } from "../../parts/state.ts";
import { checked, faults, warnings, type Finding } from "./checking.ts";
import { shortPath } from "./drafts.ts";

type Go = (file: string, line: number, column: number) => void;

export function Findings({ go }: { go: Go }) {
  const { isOld, tests, error } = checked.value;
  const [bad, doubtful] = [faults.value, warnings.value];
  const failed = tests?.failed ?? [];
  return html`<section class="panel" id="check" aria-label="Check"><header><h2>Check</h2>
      <p class="check-state" role="status">${isOld ? html`<span class="none">checking …</span>` : null}
        ${!isOld && !error && html`<${State} tone=${bad.length ? "bad" : "good"}>${bad.length ? plural(bad.length, "fault") : "no faults"}<//>`}
        ${doubtful.length > 0 && html`<${State} tone="warn">${plural(doubtful.length, "warning")}<//>`}
        ${tests && tests.run > 0 && html`<${State} tone=${failed.length ? "bad" : "good"}>
          ${failed.length ? `${failed.length} of ${plural(tests.run, "test")} ${failed.length === 1 ? "fails" : "fail"}` : `${plural(tests.run, "test")} ${tests.run === 1 ? "passes" : "pass"}`}<//>`}</p></header>
    ${error ? html`<${Failure} error=${error} />` : null}
    ${bad.length + doubtful.length + failed.length > 0 && html`<ul class="findings">
      ${[...bad, ...doubtful].map((finding) => html`<${FindingOf} finding=${finding} go=${go} />`)}
      ${failed.map((test) => html`<li class="bad"><button type="button" onClick=${() => go(test.file, test.line, test.column)}>
        <${Sign} tone="bad" /><span class="what">The test <b><${Text} text=${test.name} /></b> fails</span>
        <span class="at">${at(test)}</span><span class="hint"><${Text} text=${test.why} longest=${800} /></span></button></li>`)}</ul>`}</section>`;
}

function FindingOf({ finding, go }: { finding: Finding; go: Go }) {
  const { file, line, column, what, hint, tone } = finding;
  return html`<li class=${tone}><button type="button" onClick=${() => go(file, line, column)}>
    <${Sign} tone=${tone} /><span class="what"><span class="hidden">${tone === "bad" ? "Fault" : "Warning"}: </span>
      <${Text} text=${what} longest=${800} /></span><span class="at">${at(finding)}</span>
    ${hint && html`<span class="hint"><${Text} text=${hint} longest=${800} /></span>`}</button></li>`;
}

function at({ file, line }: { file: string; line: number }) {
  const name = shortPath(file).split("/").at(-1) ?? "";
  return html`<${Text} text=${line ? `${name}:${line}` : name} />`;
}
