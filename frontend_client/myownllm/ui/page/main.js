// The page: which surface is shown, and the four ways in which there is nothing to show.

import { html, nothing, render } from "./vendor/lit-html/lit-html.js";
import { ask, enter, forgetSecret, secret } from "./api.js";
import { connect, knocks, mesh, rows } from "./mesh.js";
import { onChange, paintDialog, run, failure, isBusy, say, sentence, setUpDialog } from "./parts.js";
import { renew } from "./rows.js";
import { activity } from "./activity.js";
import { chat, questions } from "./chat.js";
import { connections, isByNumbers } from "./connections.js";
import { files } from "./files.js";
import { governance } from "./governance.js";
import { graph } from "./graph.js";
import { http } from "./http.js";
import { settings } from "./settings.js";
import { status } from "./status.js";

const SURFACES = {
  status: ["Status", status],
  connections: ["Connections", connections],
  files: ["Files", files],
  chat: ["Chat", chat],
  graph: ["Graph", graph],
  governance: ["Governance", governance],
  settings: ["Settings", settings],
  http: ["HTTP", http],
  activity: ["Activity", activity],
};

let wrongLink = "";
let frame = 0;
let isWhole = false;
const renewed = new Set();
let shown = "";

const current = () => {
  const name = location.hash.slice(2);
  return name in SURFACES ? name : "status";
};

function schedule() {
  isWhole = true;
  if (frame === 0) frame = requestAnimationFrame(paint);
}

// The app has told something; where that is numbers of devices alone, it is nothing but their rows.
function heard(ids) {
  if (ids === null || isByNumbers()) return schedule();
  for (const id of ids) renewed.add(id);
  if (frame === 0) frame = requestAnimationFrame(paint);
}

function paint() {
  frame = 0;
  if (!isWhole) renew(renewed);
  else paintAll();
  isWhole = false;
  renewed.clear();
}

function paintAll() {
  render(page(), document.getElementById("page"));
  paintDialog();
  const name = current();
  const waiting = knocks().length;
  document.title = `${waiting > 0 ? `(${waiting}) ` : ""}${SURFACES[name][0]} – MyOwnLLM`;
  if (shown !== name) {
    if (shown !== "") document.querySelector("main h1")?.focus();
    shown = name;
  }
}

function page() {
  if (wrongLink !== "" && mesh.state === null) return alone("This link does not work any more", wrongLink);
  if (mesh.link === "ended") {
    return alone("This browser’s session has ended", "`myownllm open` makes a new link on the machine where the app runs.");
  }
  if (mesh.state === null && mesh.link === "full") {
    return alone("Too many tabs show this screen", "Close some of them; this one comes by itself then.");
  }
  if (mesh.state === null && mesh.link === "away") return alone("The app does not answer", "`myownllm up` starts it; this page comes back by itself.");
  if (mesh.state === null) return alone("Opening…", "");
  const name = current();
  return html`
    <a class="skip" href="#surface" @click=${skip}>Skip to content</a>
    <header>
      <nav aria-label="Surfaces">
        ${Object.entries(SURFACES).map(
          ([key, [title]]) => html`<a href=${`#/${key}`} aria-current=${key === name ? "page" : nothing}>${title}${badge(key)}</a>`,
        )}
      </nav>
    </header>
    ${banners(name)}
    <main id="surface" class=${mesh.link === "live" ? "" : "old"}>${SURFACES[name][1]()}</main>`;
}

function skip(event) {
  event.preventDefault();
  document.querySelector("main h1").focus();
}

const alone = (title, text) => html`<main class="alone"><h1 tabindex="-1">${title}</h1><p>${sentence(text)}</p></main>`;

function badge(key) {
  const offers = rows("offers").filter((offer) => offer.ended_at === null).length;
  const count = { status: knocks().length, files: offers, chat: rows("questions").length }[key] ?? 0;
  const what = { status: "waiting for approval", files: "offered", chat: "questions" }[key];
  return count > 0 ? html` <span class="badge">${count}<span class="unseen"> ${what}</span></span>` : nothing;
}

// What must be seen on every surface.
function banners(name) {
  const { supervisor, headline } = mesh.state;
  const waiting = knocks().length;
  const list = [];
  if (mesh.link !== "live") {
    list.push(html`<p class="banner bad" data-banner="away">The app has gone. What you see is old.
      ${sentence("`myownllm up` starts it again; this page comes back by itself.")}</p>`);
  } else if (!supervisor.is_up && supervisor.state === "failed") {
    list.push(html`<div class="banner bad" data-banner="failed"><p><strong>No mesh daemon can be started.</strong> ${sentence(supervisor.reason)}</p>
      <button type="button" ?disabled=${isBusy("retry")} @click=${() => run("retry", () => ask("POST", "/api/mesh/daemon/retry"))}>Try again</button>${failure("retry")}</div>`);
  } else if (!supervisor.is_up) {
    list.push(html`<p class="banner wait" data-banner="down">Waiting for the mesh daemon. ${sentence(supervisor.reason || headline.reason)}</p>`);
  }
  if (waiting > 0 && name !== "status") {
    list.push(html`<p class="banner wait" data-banner="knock">A device wants to join your mesh. <a href="#/status">Look at it</a></p>`);
  }
  if (name !== "chat" && rows("questions").length > 0) list.push(questions());
  return list.length === 0 ? nothing : html`<section aria-label="Notices">${list}</section>`;
}

// ── knocks that come while nobody looks ──

const told = new Set();

function notice(ids) {
  if (ids !== null) return;
  const waiting = knocks();
  for (const peer of waiting) {
    const knock = `${peer.id} ${peer.code_received}`;
    if (told.has(knock)) continue;
    told.add(knock);
    say(`${peer.label} wants to join. Compare the codes.`);
    if ("Notification" in window && Notification.permission === "granted" && document.hidden) {
      const shown = new Notification("A device wants to join your mesh", { body: `${peer.label} · ${peer.suffix}`, tag: knock });
      shown.onclick = () => (window.focus(), (location.hash = "#/status"));
    }
  }
}

async function start() {
  setUpDialog();
  onChange(schedule);
  mesh.listeners.push(heard, notice);
  window.addEventListener("hashchange", () => (location.hash.startsWith("#key=") ? location.reload() : schedule()));
  try {
    await enter();
  } catch (error) {
    wrongLink = error.message;
  }
  if (secret() === "") {
    if (wrongLink === "") wrongLink = "This browser has no session here: `myownllm open` makes a link.";
    schedule();
    return;
  }
  connect();
  schedule();
}

mesh.listeners.push(() => {
  if (mesh.link === "ended") forgetSecret();
});
start();
