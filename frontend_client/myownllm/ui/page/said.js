// One message of a talk. What a model says is text, with blocks of code, never markup.

import { html, nothing, words } from "./parts.js";

export function message(each) {
  const who = each.role === "user" ? "You" : each.from ?? "Model";
  return html`<li class=${each.role}><h3>${words(who)}</h3>
    ${each.thinking ? html`<details><summary>Thoughts</summary><pre class="said">${each.thinking}</pre></details>` : nothing}
    ${blocks(each.content)}
    ${(each.ran ?? []).map((ran) => html`<p class="hint">Used ${words(ran)}</p>`)}
    ${each.partial ? html`<p class="tag">${each.partial}</p>` : nothing}</li>`;
}

// Fenced blocks are code; everything is a text node.
const blocks = (text) => text.split(/^```[^\n]*\n?/m).map((part, place) =>
  part === "" ? nothing : place % 2 === 1 ? html`<pre class="code" tabindex="0" aria-label="Code"><code>${part}</code></pre>` : html`<div class="said">${part}</div>`);
