// What is going on: the headline, who wants in, this device, the saved networks.

import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { ask } from "./api.js";
import { activeNetwork, knocks, mesh, rows } from "./mesh.js";
import {
  button, changed, closeDialog, confirm, failure, field, forget, html, isBusy, nothing, openDialog, run, sentence, words,
} from "./parts.js";
import { addNetwork, invite } from "./joining.js";

const LEVEL = { good: "✓", waiting: "…", bad: "!" };
const MANY = 3;

export function status() {
  const { headline } = mesh.state;
  return html`
    <h1 tabindex="-1">Status</h1>
    <section class=${`pill ${headline.level}`} aria-label="Headline">
      <p id="pill"><span aria-hidden="true">${LEVEL[headline.level]}</span> ${headline.text}</p>
      ${headline.reason === "" || headline.text.includes(headline.reason) ? nothing : html`<p id="why">${sentence(capital(headline.reason))}.</p>`}
      ${nextStep(headline) === "" ? nothing : html`<p class="hint">${sentence(nextStep(headline))}</p>`}
    </section>
    ${knockCards()}
    ${networks()}
    ${device()}
    ${supervisor()}`;
}

// What to do next on this page; the headline's own step names commands.
function nextStep(headline) {
  if (knocks().length > 0) return "Compare the codes below with the other screen.";
  if (mesh.state.active === null) return rows("networks").length === 0 ? "Add a network below." : "Switch to one of the networks below, or add one.";
  if (mesh.state.mesh.phase === "ice-failed-no-turn" || mesh.state.mesh.phase === "ice-failed-turn-unreachable") return "A TURN server in Settings carries links where no direct path works.";
  if (headline.level !== "good" && isUnheard()) {
    return activeNetwork()?.only_lan ? "Connect this device to the local network of the others." : "Check this device’s connection, and the relays under Settings.";
  }
  return capital(headline.next_step);
}

const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

// There are relays and none serves, or the network is met nowhere.
function isUnheard() {
  const { relays, lan } = mesh.state.mesh;
  return relays !== null && !relays.some((each) => each.state === "up") && !(lan && relays.length === 0);
}

// ── who wants to join ──

function knockCards() {
  const waiting = knocks();
  if (waiting.length === 0) return nothing;
  return html`<section aria-labelledby="knocks"><h2 id="knocks">Wants to join</h2>
    ${waiting.length < MANY ? nothing : html`<p class="hint">So many devices knock: a network name that is harder to guess keeps strangers away.</p>`}
    ${notifications()}
    ${repeat(waiting, (peer) => peer.id, knockCard)}</section>`;
}

function knockCard(peer) {
  const place = `knock-${peer.id}`;
  return html`<article class="card knock" data-peer=${peer.id}>
    <h3>${words(peer.label)} <span class="suffix">${peer.suffix}</span></h3>
    <div class="codes">${code("Code of the other device", peer.code_received)}${code("Code of this device", peer.code_sent ?? "")}</div>
    <p class="hint">Both codes and the five characters behind the name must be the same on the other screen.</p>
    <div class="row">
      <button type="button" @click=${() => approve(peer)}>Approve…</button>
      ${button(place, "Deny", () => ask("POST", `/api/peers/${peer.id}/deny`))}
    </div>${failure(place)}</article>`;
}

// Large letters, each read out by itself.
const code = (what, text) => html`<div class="code"><span class="what">${what}</span>
  <span class="tiles" role="img" aria-label=${[...text].join(" ")}>${[...text].map((letter) => html`<span aria-hidden="true">${letter}</span>`)}</span></div>`;

export function approve(peer) {
  confirm(
    "Same codes on the other screen?",
    `${peer.label} (${peer.suffix}) gets into this network and stays in it.`,
    "Yes, let it in",
    async () => {
      const done = await ask("POST", `/api/peers/${peer.id}/approve`, { code: peer.code_received });
      if (done.effective === false) proposed(peer, done.waits_for);
    },
    () => html`<div class="codes">${code("Code of the other device", peer.code_received)}${code("Code of this device", peer.code_sent ?? "")}</div>`,
  );
}

// In a closed network only some devices let others in; what the rest wants waits for them.
function proposed(peer, deciders) {
  const names = deciders.map((device) => device.label).join(", ");
  setTimeout(() =>
    openDialog("Proposed, not yet in", () => html`<p>${peer.label} (${peer.suffix}) comes in when an owner or a controller has signed it:
      ${names || "nobody who could is left"}.</p>
      <div class="row end"><button type="button" data-first @click=${closeDialog}>OK</button></div>`),
  );
}

function notifications() {
  if (!("Notification" in window) || Notification.permission !== "default") return nothing;
  return html`<p><button type="button" class="quiet" @click=${async () => ((await Notification.requestPermission()), changed())}>
    Tell me on the desktop when a device knocks</button></p>`;
}

// ── saved networks ──

function networks() {
  const saved = rows("networks");
  return html`<section aria-labelledby="networks"><h2 id="networks">Networks</h2>
    ${saved.length === 0 ? html`<p>No network is saved yet. Devices that share a network’s name can meet.</p>` : nothing}
    <ul class="cards">${repeat(saved, (n) => n.id, network)}</ul>
    <div class="row">
      <button type="button" class=${saved.length === 0 ? "main" : ""} @click=${() => addNetwork()}>Add a network…</button>
      ${activeNetwork() === null || !mesh.state.supervisor.is_up ? nothing : html`<button type="button" @click=${invite}>Invite a device…</button>`}
    </div></section>`;
}

function network(saved) {
  const place = `network-${saved.id}`;
  const isActive = saved.id === mesh.state.active;
  return html`<li class="card" data-network=${saved.network_id}>
    <div class="grow"><strong>${words(saved.handle)}</strong> ${isActive ? html`<span class="tag">active</span>` : nothing}
      ${saved.kind === "closed" ? html`<span class="tag">marked closed</span>` : nothing}
      ${saved.only_lan ? html`<span class="tag">local network alone</span>` : nothing}
      ${saved.label === "" ? nothing : html`<div class="hint">${words(saved.network_id)}</div>`}</div>
    ${isActive
      ? button(place, "Leave", () => ask("POST", "/api/networks/active", { id: null }))
      : button(place, "Switch", () => ask("POST", "/api/networks/active", { id: saved.id }))}
    <button type="button" @click=${() => forgetNetwork(saved)}>Forget…</button>${failure(place)}</li>`;
}

function forgetNetwork(saved) {
  let roster = false;
  const isActive = saved.id === mesh.state.active;
  confirm(
    `Forget ${saved.handle}?`,
    "Its settings are deleted here. Other devices keep theirs.",
    "Forget it",
    () => ask("DELETE", `/api/networks/${saved.id}`, { delete_roster: roster }),
    () => isActive && mesh.state.supervisor.is_up
      ? html`<p><label><input type="checkbox" @change=${(event) => (roster = event.target.checked)}> Also take back the approvals of its devices</label></p>`
      : nothing,
  );
}

// ── this device ──

function device() {
  const { device: own, mesh: now, active } = mesh.state;
  return html`<section aria-labelledby="device"><h2 id="device">This device</h2>
    <dl>
      <dt>Name</dt><dd>${words(own.label || "(no name)")} ${mesh.state.supervisor.is_up ? html`<button type="button" class="quiet" @click=${rename}>Rename…</button>` : nothing}</dd>
      ${own.id === "" ? nothing : html`<dt>Id</dt><dd class="id">${own.id}</dd>`}
      ${own.suffix === "" ? nothing : html`<dt>Suffix</dt><dd class="suffix">${own.suffix}</dd>`}
    </dl>
    ${active === null ? nothing : html`
      ${field("accepting", "What others may ask of it", html`<select id="accepting" @change=${(event) =>
        run("accepting", () => ask("PUT", "/api/mesh/accepting", { value: event.target.value }))}>
        ${[["available", "Available"], ["limited", "Limited"], ["busy", "Busy: models refuse"]].map(
          ([value, text]) => html`<option value=${value} ?selected=${now.accepting === value}>${text}</option>`)}</select>`)}
      <p><label><input type="checkbox" .checked=${now.gossip} @change=${(event) =>
        run("gossip", () => ask("PUT", "/api/mesh/auto-gossip", { value: event.target.checked }))}> Share prompts and tool policies with the network’s devices</label></p>${failure("gossip")}`}
  </section>`;
}

function rename() {
  forget("rename");
  openDialog("Rename this device", () => html`<form @submit=${async (event) => {
    event.preventDefault();
    const value = event.target.elements.name.value.trim();
    if ((await run("rename", () => ask("PUT", "/api/mesh/label", { value }))) !== undefined) closeDialog();
  }}>
    ${field("rename", "Name", html`<input id="rename" name="name" data-first maxlength="64" required autocomplete="off" .value=${mesh.state.device.label}>`, "Others see it, up to 64 characters.")}
    <div class="row end"><button type="button" @click=${closeDialog}>Cancel</button><button class="main" ?disabled=${isBusy("rename")}>Rename</button></div></form>`);
}

// ── the daemon ──

let log = null;

function supervisor() {
  const { supervisor: daemon, device: own } = mesh.state;
  const update = own.update;
  return html`<section aria-labelledby="daemon"><h2 id="daemon">Mesh daemon</h2>
    <dl>
      <dt>State</dt><dd>${daemon.state}${daemon.reason === "" ? nothing : html` — ${sentence(daemon.reason)}`}</dd>
      ${own.daemon_version === "" ? nothing : html`<dt>Version</dt><dd>${own.daemon_version}${own.meets_pin ? nothing : ` — older than the pinned ${own.pinned_version}`}</dd>`}
      ${own.mode === "" ? nothing : html`<dt>Whose</dt><dd>${own.mode === "shared" ? "shared with another app" : "this app’s own"}</dd><dt>Socket</dt><dd class="id">${own.socket}</dd>`}
      ${update.state === "idle" ? nothing : html`<dt>Update</dt><dd>${update.state}: ${sentence(update.detail)}</dd>`}
    </dl>
    ${daemon.notes.map((note) => html`<p class="hint">${sentence(note)}</p>`)}
    <div class="row">
      ${daemon.is_up ? nothing : button("daemon", "Try again now", () => ask("POST", "/api/mesh/daemon/retry"))}
      ${daemon.is_own ? button("daemon", "Restart it", () => ask("POST", "/api/mesh/daemon/restart")) : nothing}
      ${own.meets_pin ? nothing : button("daemon", "Update it", () => ask("POST", "/api/mesh/daemon/update"))}
      ${button("log", log === null ? "Show its log" : "Hide its log", async () => {
        log = log === null ? await ask("GET", "/api/daemon/log") : null;
      })}
    </div>${failure("daemon")}${failure("log")}
    ${log === null ? nothing : html`<p class="hint">${log.file}</p><pre class="log" tabindex="0" aria-label="Log of the daemon">${log.lines.join("\n") || "Nothing was said yet."}</pre>`}
  </section>`;
}
