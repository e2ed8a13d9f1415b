// Who decides in the active network: roles, what waits for a signature, what was signed. Asked for while it is looked at.

import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { ask } from "./api.js";
import { activeNetwork, isConnected, mesh, peers } from "./mesh.js";
import { button, changed, closeDialog, failure, field, forget, html, isBusy, moment, nothing, openDialog, run, say, sentence, words } from "./parts.js";

const POLL_MS = 5000;
const ROLES = ["member", "controller", "owner"];
const begun = (text) => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
// What the daemon advises names commands; these are done on this page.
const HELP = {
  single_owner: "Make a second device an owner (“Change role…” below), or print a recovery key: `myownmesh ctl governance recovery-key NETWORK`",
  questions: "They stand under “Waits for a signature”, each with what an answer does",
  unsigned_rows: "Sign them in (“Give a role…” below), or remove them under Connections",
};
let shown = null; // what the daemon said last, of this network
let of = null;
let timer = 0;
let isAsking = false;

const isLooking = () => location.hash === "#/governance" && document.visibilityState === "visible" && mesh.link === "live";

async function load() {
  const network = mesh.state.mesh.network;
  if (isAsking || !network) return;
  isAsking = true;
  await run("governance", async () => (shown = await ask("GET", "/api/governance")));
  of = network;
  isAsking = false;
}

function poll() {
  clearTimeout(timer);
  timer = 0;
  if (!isLooking()) return;
  timer = setTimeout(async () => (await load(), poll()), POLL_MS);
}

export function governance() {
  const network = activeNetwork();
  if (timer === 0) {
    poll();
    load();
  } else if (of !== mesh.state.mesh.network) {
    shown = null;
    load();
  }
  return html`
    <h1 tabindex="-1">Governance</h1>
    ${network === null ? html`<p>No network is active; <a href="#/status">switch to one</a> first.</p>`
      : shown === null ? html`<p>Asking the daemon…</p>${failure("governance")}` : surface(shown)}`;
}

function surface(state) {
  return html`
    <p>${state.kind === "closed" ? "This network is closed: signatures decide who belongs to it." : state.kind === "silent"
      ? "This network is silent: each device decides for itself." : "This network is open: whoever is approved vouches for others."}
      ${state.role === "" ? nothing : html`This device is <strong data-role>${state.role}</strong>.`}</p>
    ${failure("governance")}
    ${state.amiss.map((each) => html`<div class="banner wait"><p>${words(begun(each.text))}.</p><p>→ ${sentence(begun(HELP[each.code] ?? each.help))}.</p></div>`)}
    ${pending(state)}${roles(state)}${evicted(state)}${kind(state)}${splits(state)}${log(state)}`;
}

// ── what waits ──

function pending(state) {
  if (state.pending === null) return html`<p class="hint">${sentence("This daemon does not explain what waits: `myownmesh ctl governance state` shows it.")}</p>`;
  if (state.pending.length === 0) return nothing;
  return html`<section aria-labelledby="pending"><h2 id="pending">Waits for a signature</h2><ul class="cards">
    ${repeat(state.pending, (each) => each.id, (each) => html`<li class="card" data-pending=${each.id}>
      <div class="grow">${words(each.text)}
        <div class="hint">Signing: ${words(each.sign)}. Refusing: ${words(each.deny)}.</div>
        <div class="hint">${moment(each.at * 1000)}${each.signers.length === 0 ? nothing : html`; signed by ${words(each.signers.join(", "))}`}${
          each.deniers.length === 0 ? nothing : html`; refused by ${words(each.deniers.join(", "))}`}${
          each.decides.length === 0 ? nothing : html`; waits for ${words(each.decides.join(" or "))}`}</div></div>
      <div class="row">
        ${each.is_signed ? nothing : html`<button type="button" @click=${() => sign(each)}>Sign…</button>`}
        ${each.is_mine && each.sort === "proposal" ? button(`p-${each.id}`, "Withdraw", then("POST", `/api/governance/pending/${each.id}/withdraw`, "Withdrawn"))
          : button(`p-${each.id}`, "Refuse", then("POST", `/api/governance/pending/${each.id}/deny`, "Refused"))}
      </div>${failure(`p-${each.id}`)}</li>`)}</ul></section>`;
}

const then = (method, path, text) => async () => {
  await ask(method, path);
  say(text);
  await load();
};

const sign = (each) => decide("Sign this?", () => html`<p>${words(each.text)}.</p><p>${words(each.sign)}.</p>
  <p class="hint">A signature is for good: every device of the network can show it.</p>`, "Sign it",
  (code) => ask("POST", `/api/governance/pending/${each.id}/sign`, { digest: each.digest, code }));

// ── a decision: what it would do, the code of an authenticator where a lock is on, and what came of it ──

function decide(title, body, yes, work) {
  const place = "decision";
  let needsCode = false;
  let told = null;
  forget(place);
  const submit = async (event) => {
    event.preventDefault();
    const code = event.target.elements.code?.value.trim() ?? "";
    const done = await run(place, async () => {
      try {
        return await work(code);
      } catch (error) {
        needsCode ||= error.kind === "needs_code" || error.kind === "code_refused";
        throw error;
      }
    });
    if (done === undefined) return changed();
    await load();
    told = done;
    say(verdict(done));
    if (done.effective === true) closeDialog();
    else changed();
  };
  openDialog(title, () => told !== null ? html`<p>${verdict(told)}</p>
      <div class="row end"><button type="button" data-first @click=${closeDialog}>Close</button></div>`
    : html`<form @submit=${submit}>${body()}
      ${needsCode ? field("code", "Code of your authenticator", html`<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" required maxlength="64">`) : nothing}
      ${failure(place)}
      <div class="row end"><button type="button" data-first @click=${closeDialog}>Cancel</button>
        <button class="main" ?disabled=${isBusy(place)}>${yes}</button></div></form>`);
}

function verdict(done) {
  if (done.effective === true) return done.is_new === false ? "It holds already; nothing was signed." : "In force.";
  if (done.effective === false) return `Recorded. It waits for ${done.waits_for.join(" or ") || "nobody who could sign it"}.`;
  return "Done; this daemon does not say whether it is in force.";
}

const outlook = (rows) => rows.map((row) => html`<p>${row.text}${row.names.length === 0 ? "." : html`: ${words(row.names.join(", "))}.`}</p>`);

// Looks first at what a change would do, then asks.
async function propose(place, title, text, yes, body) {
  const seen = await run(place, () => ask("POST", "/api/governance/propose", { ...body, look: true }));
  if (seen === undefined) return;
  decide(title, () => html`<p>${text}</p>${outlook(seen.outlook)}
    ${seen.effective === false ? html`<p>It would wait for ${words(seen.waits_for.join(" or ") || "nobody who could sign it")}.</p>` : nothing}`,
    yes, (code) => ask("POST", "/api/governance/propose", { ...body, code }));
}

// ── who has which role ──

function roles(state) {
  if (state.kind !== "closed" || state.roles.length === 0) return nothing;
  const known = new Set([...state.roles, ...state.evicted].map((row) => row.id));
  const outside = peers().filter((peer) => isConnected(peer) && !known.has(peer.id));
  return html`<section aria-labelledby="roles"><h2 id="roles">Roles</h2><ul class="cards">
    ${repeat(state.roles, (row) => row.id, (row) => html`<li class="card" data-device=${row.id}>
      <div class="grow"><strong>${words(row.name)}</strong> <span class="tag">${row.role}</span>
        ${row.refused.map((text) => html`<div class="hint">It once signed and did not get: ${words(text)}</div>`)}</div>
      <div class="row">${row.is_me ? nothing : html`
        <button type="button" @click=${() => changeRole(row)}>Change role…</button>
        <button type="button" ?disabled=${isBusy(`r-${row.id}`)} @click=${() => putOut(row)}>Put out…</button>`}</div>${failure(`r-${row.id}`)}</li>`)}
    ${repeat(outside, (peer) => peer.id, (peer) => html`<li class="card" data-device=${peer.id}>
      <div class="grow"><strong>${words(peer.label)}</strong> <span class="suffix">${peer.suffix}</span> <span class="tag">not signed in</span></div>
      <div class="row"><button type="button" @click=${() => changeRole({ id: peer.id, name: `${peer.label} (${peer.suffix})`, role: "" })}>Give a role…</button></div></li>`)}
    </ul></section>`;
}

function changeRole(row) {
  let role = row.role === "" ? "member" : row.role;
  openDialog("Change a role", () => html`<p>What is ${words(row.name)} to be? An owner decides everything, a controller who comes in and who is put out.</p>
    ${field("role", "Role", html`<select id="role" data-first @change=${(event) => (role = event.target.value)}>
      ${ROLES.map((each) => html`<option value=${each} ?selected=${each === role}>${each}</option>`)}</select>`)}${failure("role-of")}
    <div class="row end"><button type="button" @click=${closeDialog}>Cancel</button>
      <button type="button" class="main" ?disabled=${isBusy("role-of")} @click=${() => propose("role-of", "Change a role?",
        html`${words(row.name)} becomes ${role}.`, "Sign it", { what: "role", device: row.id, role })}>Look at it…</button></div>`);
}

const putOut = (row) => propose(`r-${row.id}`, "Put this device out?", html`Every device that hears of it drops its link to ${words(row.name)} and refuses it from then on.`,
  "Put it out", { what: "evict", device: row.id });

function evicted(state) {
  if (state.evicted.length === 0) return nothing;
  return html`<section aria-labelledby="evicted"><h2 id="evicted">Put out</h2><ul class="cards">
    ${repeat(state.evicted, (row) => row.id, (row) => html`<li class="card" data-evicted=${row.id}><div class="grow">${words(row.name)}</div>
      ${row.id === state.me ? nothing : html`<button type="button" @click=${() => changeRole({ ...row, role: "" })}>Let in again…</button>`}</li>`)}</ul></section>`;
}

// ── open or closed ──

function kind(state) {
  if (state.kind === "silent") return nothing;
  const isOpen = state.kind === "open";
  return html`<section aria-labelledby="kind"><h2 id="kind">${isOpen ? "Close this network" : "Open this network"}</h2>
    <p class="hint">${isOpen ? "This device becomes its owner, and nobody gets in without a signature. Do it before anything else is signed."
      : "Whoever is approved vouches for others again; roles and evictions count no more. Only owners decide it."}</p>
    <button type="button" ?disabled=${isBusy("kind")} @click=${() => propose("kind", isOpen ? "Close this network?" : "Open this network?",
      isOpen ? "From then on signatures decide who belongs to it." : "From then on everybody who is approved may let others in.",
      isOpen ? "Close it" : "Open it", { what: "kind", to: isOpen ? "closed" : "open" })}>${isOpen ? "Close it…" : "Open it…"}</button>${failure("kind")}
    <p class="hint">${sentence("A key to print for the day on which the last owner is lost, and a lock on this device’s signatures: `myownmesh ctl governance recovery-key` and `mfa enroll`.")}</p></section>`;
}

const splits = (state) => state.splits.length === 0 ? nothing : html`<section aria-labelledby="splits"><h2 id="splits">Split off</h2>
  <ul>${state.splits.map((each) => html`<li>${words(each.network)}, by ${words(each.by)}</li>`)}</ul></section>`;

function log(state) {
  if (state.log === null || state.log.length === 0) return nothing;
  return html`<section aria-labelledby="signed"><h2 id="signed">What was signed</h2>
    <ol class="diag" aria-label="Newest first">${state.log.map((line) => html`<li data-state=${line.state}><time datetime=${new Date(line.at * 1000).toISOString()}>${moment(line.at * 1000)}</time> ${words(line.text)}</li>`)}</ol>
    ${state.more === 0 ? nothing : html`<p class="hint">${sentence(`${state.more} older ones: \`myownmesh ctl governance log\` shows them.`)}</p>`}</section>`;
}

document.addEventListener("visibilitychange", () => isLooking() && timer === 0 && (load(), poll()));
window.addEventListener("hashchange", () => {
  if (isLooking()) return;
  clearTimeout(timer);
  timer = 0;
});
