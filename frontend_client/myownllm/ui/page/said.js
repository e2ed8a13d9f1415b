// What is said in a talk, and how an answer comes in. What a model says is text, with blocks of code, never markup.

import { changed, html, nothing, say, words } from "./parts.js";

// Adds what comes to the message `said`; true when the answer has come to its end.
export async function hear(items, said) {
  let isWhole = false;
  for await (const item of items) {
    if (item.error !== undefined) throw new Error(item.error.message);
    if (item.from !== undefined) said.from = `${item.from.model || "Model"} on ${item.from.device || "this device"}`;
    if (item.delta !== undefined) said.content += item.delta;
    if (item.thinking_delta !== undefined) said.thinking = (said.thinking ?? "") + item.thinking_delta;
    if (item.ran !== undefined) said.ran = [...(said.ran ?? []), item.ran.name ?? "a function"];
    if (item.end) isWhole = true;
    changed();
  }
  return isWhole;
}

// Marks the last message of a talk as what it is, whole or a part, and reads it out; one that says nothing goes.
export function close(talk, isWhole, isStopped) {
  const said = talk.messages.at(-1);
  if (!isWhole) said.partial = isStopped ? "Stopped: this is a part" : "Broken off: this is a part";
  if (said.content === "" && !isWhole) talk.messages.pop();
  else say(isWhole ? `${said.from} has answered: ${said.content.slice(0, 500)}` : said.partial);
  changed();
}

// A talk as it is saved.
export const bodyOf = (talk) => ({
  title: talk.title.slice(0, 200), model: talk.model.slice(0, 200),
  messages: talk.messages.map(({ role, content, partial }) => ({ role, content, ...(partial ? { partial: true } : {}) })),
});

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
