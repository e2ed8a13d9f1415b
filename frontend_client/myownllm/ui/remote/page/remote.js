// The chat of a paired browser of the local network: a code, then conversations with the models of the app.

import { html, nothing, render } from "./vendor/lit-html/lit-html.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { ask, forgetSecret, keepSecret, lines, secret } from "./api.js";
import { button, failure, field, isBusy, moment, onChange, paintDialog, run, sentence, words } from "./parts.js";
import { picker } from "./picker.js";
import { bodyOf, close, hear, message } from "./said.js";

const HEARTBEAT_MS = 5000;

// What the person sees: a form for the code, that somebody put this browser out, or the chat.
let stage = secret() === "" ? "code" : "chat";
let isAway = false;
let models = null;
let saved = null;
let answering = null; // the AbortController of an answer under way
const talk = { id: null, title: "", messages: [], model: "", family: "" };
let frame = 0;
let shown = "";

function schedule() {
  if (frame === 0) frame = requestAnimationFrame(paint);
}

function paint() {
  frame = 0;
  render({ code, kicked, chat }[stage](), document.getElementById("page"));
  paintDialog();
  if (shown !== "" && shown !== stage) document.querySelector("main h1").focus();
  shown = stage;
}

// Every answer of the app says whether this browser is still let in.
async function asked(work) {
  try {
    const told = await work();
    if (isAway) load();
    isAway = false;
    return told;
  } catch (error) {
    if (error.kind === "kicked" || error.kind === "no_session") {
      stage = error.kind === "kicked" ? "kicked" : "code";
      forgetSecret();
      answering?.abort();
    }
    isAway = error.kind === "app_gone";
    throw error;
  } finally {
    schedule();
  }
}

async function beat() {
  if (stage === "chat") await asked(() => ask("POST", "/api/heartbeat")).catch(() => {}); // what is shown says it
  setTimeout(beat, HEARTBEAT_MS);
}

// ── coming in ──

const code = () => html`<main class="alone"><h1 tabindex="-1">Pair this browser</h1>
  <p>The screen of the app shows a code under HTTP; so does ${sentence("`myownllm remote --pair`")}.</p>
  <form @submit=${pair}>${field("code", "Code", html`<input id="code" name="code" inputmode="numeric" autocomplete="off" required maxlength="20">`)}
    <button class="main" ?disabled=${isBusy("code")}>Pair</button></form>
  <p class="hint">What you say goes over your local network without encryption.</p></main>`;

async function pair(event) {
  event.preventDefault();
  const given = event.target.elements.code.value;
  await run("code", async () => {
    keepSecret((await ask("POST", "/api/pair", { code: given })).secret);
    stage = "chat";
    await load();
  });
  schedule();
}

const kicked = () => html`<main class="alone"><h1 tabindex="-1">This browser was put out</h1>
  <p>Somebody at the app’s own screen did that. A new code lets it in again, in half a minute at the earliest.</p>
  <button type="button" @click=${() => ((stage = "code"), schedule())}>Enter a code</button></main>`;

// ── the chat ──

const load = () => run("load", () => asked(async () => {
  models = (await ask("GET", "/api/models")).models.map((m) => ({ ...m, owned_by: m.device }));
  saved = (await ask("GET", "/api/conversations")).conversations;
  const { id } = await ask("GET", "/api/active-conversation");
  if (id !== null && talk.id === null && talk.messages.length === 0) show(id, await ask("GET", `/api/conversations/${id}`));
}));

function chat() {
  if (models === null || saved === null) {
    return html`<main class="alone"><h1 tabindex="-1">${isAway ? "The app does not answer" : "Opening…"}</h1>${failure("load")}</main>`;
  }
  return html`${isAway ? html`<section aria-label="Notices"><p class="banner bad">The app does not answer. This page comes back by itself.</p></section>` : nothing}
    <main class=${isAway ? "old" : ""}><h1 tabindex="-1">Chat</h1>
    <div class="chat">
      <section class="talk" aria-labelledby="talk"><h2 id="talk">${talk.title === "" ? "New conversation" : words(talk.title)}</h2>
        <ol class="messages" aria-label="Messages">${talk.messages.map(message)}</ol>
        ${failure("answer")}${failure("keep")}
        ${models.length === 0 ? html`<p>No model is here: neither the app’s device nor a connected one offers any.</p>
          ${button("load", "Look again", load)}` : composer()}</section>
      <section class="talks" aria-labelledby="talks"><h2 id="talks">Conversations</h2>
        <button type="button" @click=${fresh}>New conversation</button>
        <ul class="cards">${repeat(saved, (c) => c.id, conversation)}</ul>${failure("load")}</section>
    </div></main>`;
}

function composer() {
  return html`<form @submit=${submit}>
    ${picker(models, talk)}
    ${field("words", "Your words", html`<textarea id="words" name="words" rows="3" required></textarea>`)}
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
  const heard = () => hear(lines("/api/chat/stream", question, answering.signal), said);
  const isWhole = (await run("answer", () => asked(heard))) === true;
  const isStopped = answering.signal.aborted;
  answering = null;
  close(talk, isWhole, isStopped);
  if (stage === "chat") await keep();
}

const keep = () => run("keep", () => asked(async () => {
  const body = bodyOf(talk);
  const entry = talk.id === null ? await ask("POST", "/api/conversations", body) : await ask("PUT", `/api/conversations/${talk.id}`, body);
  talk.id = entry.id;
  await ask("PUT", "/api/active-conversation", { id: entry.id });
  saved = (await ask("GET", "/api/conversations")).conversations;
}));

function fresh() {
  if (answering !== null) return;
  Object.assign(talk, { id: null, title: "", messages: [] });
  schedule();
}

const conversation = (entry) => html`<li class="card"><button type="button" class="quiet grow" aria-current=${entry.id === talk.id ? "true" : nothing}
  @click=${() => open(entry)}>${words(entry.title || "(no title)")}<span class="hint">${entry.folder} ${moment(Date.parse(entry.updated_at))}</span></button></li>`;

const open = (entry) => run("load", () => asked(async () => {
  if (answering !== null) return;
  show(entry.id, await ask("GET", `/api/conversations/${entry.id}`));
  await ask("PUT", "/api/active-conversation", { id: entry.id });
}));

function show(id, document) {
  const messages = (document.messages ?? []).filter((m) => typeof m.content === "string");
  Object.assign(talk, {
    id, title: String(document.title ?? ""),
    messages: messages.map((m) => ({ role: m.role, content: m.content, from: m.role === "assistant" ? "Model" : undefined, partial: m.partial ? "A part" : "" })),
  });
}

onChange(schedule);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && stage === "chat") asked(() => ask("POST", "/api/heartbeat")).catch(() => {});
});
schedule();
if (stage === "chat") load();
beat();
