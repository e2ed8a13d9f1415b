// What was noted lately, newest first.

import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { ask } from "./api.js";
import { mesh } from "./mesh.js";
import { button, clock, copy, failure, html, moment, run, sentence, words } from "./parts.js";

const text = () => lines().map(([, line]) => `${new Date(line.ts).toISOString()} ${line.level} ${line.message}`).join("\n");
const lines = () => Object.entries(mesh.state.diag).sort(([a], [b]) => Number(b) - Number(a));

export function activity() {
  const list = lines();
  return html`
    <h1 tabindex="-1">Activity</h1>
    <div class="row">
      <label><input type="checkbox" .checked=${mesh.state.mesh.quiet} @change=${(event) =>
        run("quiet", () => ask("PUT", "/api/mesh/quiet", { value: event.target.checked }))}> Warnings and errors only</label>
      ${button("clear", "Clear", () => ask("DELETE", "/api/diag"))}
      ${button("copy", "Copy", () => copy(text(), "Log"))}
      ${button("download", "Download", download)}
    </div>${failure("quiet")}${failure("clear")}${failure("copy")}
    ${list.length === 0 ? html`<p>Nothing has been noted.</p>` : html`<ol class="diag" aria-label="Newest first">${repeat(list, ([key]) => key, ([, line]) =>
      html`<li class=${line.level}><time datetime=${new Date(line.ts).toISOString()} title=${moment(line.ts)}>${clock(line.ts)}</time>
        <span class="level">${line.level}</span> ${words(sentence(line.message))}</li>`)}</ol>`}`;
}

async function download() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text()], { type: "text/plain" }));
  link.download = "myownllm-activity.txt";
  link.click();
  URL.revokeObjectURL(link.href);
}
