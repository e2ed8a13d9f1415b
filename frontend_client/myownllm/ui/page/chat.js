// Talks with models, of this device or of another one. What a model says is text, with blocks of code, never markup.

import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { ask, lines } from "./api.js";
import { isConnected, mesh, peers, rows } from "./mesh.js";
import { picker } from "./picker.js";
import { bodyOf, close, hear, message } from "./said.js";
import { button, changed, closeDialog, confirm, failure, field, forget, html, isBusy, moment, nothing, openDialog, run, say, words } from "./parts.js";

const talk = { id: null, title: "", messages: [], model: "", family: "", at: null };
// `at` is where an opened conversation of another device is: its peer, and when it was changed last.
let models = null;
let saved = null;
let answering = null; // the AbortController of an answer under way
let seen = "";

const load = () => run("chat-load", async () => {
  models = (await ask("GET", "/api/models")).models.map((m) => ({ ...m, ...m.myownllm }));
  saved = (await ask("GET", "/api/conversations")).conversations;
});

export function chat() {
  const able = `${mesh.state.marks.chat} ${peers().filter((p) => isConnected(p)).map((p) => `${p.id}${p.models.length}`).join()}`;
  if (models === null || seen !== able) {
    seen = able;
    models ??= [];
    load();
  }
  const usable = models.filter((m) => m.mode !== "embedding" && (m.device === undefined || mesh.state.peers[m.device] === undefined || isConnected(mesh.state.peers[m.device])));
  return html`
    <h1 tabindex="-1">Chat</h1>
    ${questions()}
    <div class="chat">
      <section class="talks" aria-labelledby="talks"><h2 id="talks">Conversations</h2>
        <button type="button" @click=${fresh}>New conversation</button>
        <ul class="cards">${repeat(saved ?? [], (c) => c.id, conversation)}</ul>
        ${peers().filter((p) => isConnected(p) && p.conversations.length > 0).map((p) => html`<h3>On ${words(p.label)}</h3>
          <ul class="cards">${repeat(p.conversations, (c) => c.guid, (c) => html`<li class="card"><button type="button" class="quiet grow" aria-current=${talk.at !== null && c.guid === talk.id ? "true" : nothing}
              @click=${() => openAt(p, c)}>${words(c.title || "(no title)")}</button>
            ${button(`pull-${c.guid}`, "Move here", async () => {
              await ask("POST", `/api/peers/${p.id}/conversations/${c.guid}/pull`);
              await load();
            })}${failure(`pull-${c.guid}`)}</li>`)}</ul>`)}
        ${failure("chat-load")}</section>
      <section class="talk" aria-labelledby="talk"><h2 id="talk">${talk.title === "" ? "New conversation" : words(talk.title)}</h2>
        <ol class="messages" aria-label="Messages">${talk.messages.map(message)}</ol>
        ${failure("answer")}
        ${usable.length === 0 ? html`<p>No model is here: neither this device nor a connected one offers any.</p>` : composer(usable)}
        ${moves()}
      </section>
    </div>`;
}

function composer(usable) {
  const host = peers().find((p) => p.is_host && isConnected(p) && p.models.length > 0);
  return html`<form @submit=${submit}>
    ${picker(usable, talk, host)}
    ${field("words", "Your words", html`<textarea id="words" name="words" rows="3" required @keydown=${(event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.form.requestSubmit();
    }}></textarea>`, "Ctrl+Enter sends.")}
    <div class="row">${answering === null ? html`<button class="main">Ask</button>` : html`<button type="button" @click=${() => answering.abort()}>Stop</button>`}
      ${answering === null && talk.messages.at(-1)?.role === "assistant" ? html`<button type="button" @click=${again}>Ask again</button>` : nothing}</div></form>`;
}

async function submit(event) {
  event.preventDefault();
  if (answering !== null) return;
  const { words: area } = event.target.elements;
  talk.messages.push({ role: "user", content: area.value });
  if (talk.title === "") talk.title = area.value.slice(0, 60);
  area.value = "";
  await answer();
}

// The same question once more, to whoever is picked now.
async function again() {
  if (talk.messages.at(-1)?.role === "assistant") talk.messages.pop();
  await answer();
}

async function answer() {
  const said = { role: "assistant", content: "", from: "" };
  const history = talk.messages.map(({ role, content }) => ({ role, content }));
  talk.messages.push(said);
  answering = new AbortController();
  const question = { messages: history, model: talk.model, family: talk.family };
  const isWhole = (await run("answer", () => hear(lines("/api/infer", question, answering.signal), said))) === true;
  const isStopped = answering.signal.aborted;
  answering = null;
  close(talk, isWhole, isStopped);
  await keep();
}

const keep = (over = false) => run("keep", async () => {
  const body = bodyOf(talk);
  if (talk.at !== null) {
    try {
      const told = await ask("POST", `/api/peers/${talk.at.peer}/conversations/${talk.id}/save`, { ...body, base: over ? "" : talk.at.base });
      Object.assign(talk.at, { base: told.updated_at, isStale: false });
      say(`Saved on ${talk.at.label}`);
    } catch (error) {
      talk.at.isStale = error.kind === "conflict";
      throw error;
    }
    return;
  }
  const entry = talk.id === null ? await ask("POST", "/api/conversations", body) : await ask("PUT", `/api/conversations/${talk.id}`, body);
  talk.id = entry.id;
  saved = (await ask("GET", "/api/conversations")).conversations;
});

// ── saved conversations ──

function fresh() {
  if (answering !== null) return;
  Object.assign(talk, { id: null, title: "", messages: [], at: null });
  changed();
}

const conversation = (entry) => html`<li class="card"><button type="button" class="quiet grow" aria-current=${talk.at === null && entry.id === talk.id ? "true" : nothing}
  @click=${() => open(entry)}>${words(entry.title || "(no title)")}<span class="hint">${entry.folder} ${moment(Date.parse(entry.updated_at))}</span></button></li>`;

const open = (entry) => run("chat-load", async () => {
  if (answering === null) show(entry.id, await ask("GET", `/api/conversations/${entry.id}`), null);
});

// On another device it stays there: what is said from now on is saved there, too.
const openAt = (peer, entry) => run("chat-load", async () => {
  if (answering !== null) return;
  const document = await ask("POST", `/api/peers/${peer.id}/conversations/${entry.guid}/open`);
  show(entry.guid, document, { peer: peer.id, label: peer.label, base: String(document.updated_at ?? ""), isStale: false });
});

function show(id, document, at) {
  const messages = (document.messages ?? []).filter((m) => typeof m.content === "string");
  Object.assign(talk, {
    id, at, title: String(document.title ?? ""),
    messages: messages.map((m) => ({ role: m.role, content: m.content, from: m.role === "assistant" ? "Model" : undefined, partial: m.partial ? "A part" : "" })),
  });
}

function moves() {
  if (talk.id === null || answering !== null) return nothing;
  if (talk.at !== null) {
    return html`<p class="hint" data-at>This conversation is on ${words(talk.at.label)}, and what is said here is saved there.</p>
      ${failure("keep")}${talk.at.isStale ? html`<button type="button" @click=${() => keep(true)}>Save it over that</button>` : nothing}`;
  }
  const able = peers().filter(isConnected);
  return html`<div class="row">
    ${able.map((p) => html`<button type="button" @click=${() => confirm(`Move to ${p.label}?`, "The conversation goes over there; here it goes into the trash.", "Move it", async () => {
      await ask("POST", `/api/conversations/${talk.id}/push`, { peer: p.id });
      fresh();
      await load();
    })}>Move to ${words(p.label)}…</button>`)}
    <button type="button" @click=${intoFolder}>Folder…</button>
    <button type="button" @click=${() => confirm(`Delete ${talk.title}?`, "It goes into the trash for thirty days.", "Delete it", async () => {
      await ask("POST", "/api/conversations/change", { action: "remove", ids: [talk.id] });
      fresh();
      await load();
    })}>Delete…</button></div>${failure("keep")}`;
}

function intoFolder() {
  const now = (saved ?? []).find((c) => c.id === talk.id)?.folder ?? "";
  const move = async (event) => {
    event.preventDefault();
    const body = { action: "move", ids: [talk.id], folder: event.target.elements.folder.value.trim() };
    if ((await run("folder", () => ask("POST", "/api/conversations/change", body))) === undefined) return;
    closeDialog();
    await load();
  };
  forget("folder");
  openDialog("Put it into a folder", () => html`<form @submit=${move}>
    ${field("folder", "Folder", html`<input id="folder" name="folder" data-first maxlength="200" autocomplete="off" .value=${now}>`, "Work/Q4 is a folder in a folder; empty: none. Moving it to another device keeps it.")}
    <div class="row end"><button type="button" @click=${closeDialog}>Cancel</button><button class="main" ?disabled=${isBusy("folder")}>Put it there</button></div></form>`);
}

// ── what a model wants to do here ──

const CHOICES = [["allow_once", "Allow once"], ["always_accept", "Always allow exactly this"], ["accept_all", "Allow everything of this kind"], ["deny", "No"]];
const TOOL = { shell: "run a command", write_file: "write a file" };

export function questions() {
  const list = rows("questions");
  if (list.length === 0) return nothing;
  const each = list[0]; // one at a time, the oldest first
  return html`<section class="banner wait" aria-label="A model asks" data-question=${each.id}>
    <p>A model wants to ${TOOL[each.tool] ?? each.tool}:</p><pre tabindex="0" aria-label="What it wants">${each.literal}</pre>
    <div class="row">${CHOICES.map(([choice, text]) => button(`gate-${each.id}`, text, () => ask("POST", `/api/gate/${each.id}`, { choice })))}</div>
    ${failure(`gate-${each.id}`)}</section>`;
}
