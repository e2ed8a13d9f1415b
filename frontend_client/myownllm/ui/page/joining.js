// Ways into a network: a name, a link or settings of another device; and the way in for others, an invitation.

import { ask } from "./api.js";
import { canScan, scan, view } from "./camera.js";
import { mesh } from "./mesh.js";
import {
  closeDialog, copy, failure, field, forget, html, isBusy, moment, nothing, openDialog, paintDialog, picture, run, span, words,
} from "./parts.js";

export function addNetwork(first = "name") {
  let way = first;
  let name = "";
  let onlyLan = false;
  let leads = null;
  let pasted = "";
  let looking = null; // ends the camera
  forget("add-name");
  forget("add-link");
  const stop = () => (looking?.abort(), (looking = null), paintDialog());
  const pick = (next) => () => ((way = next), (leads = null), stop());
  const byCamera = async () => {
    const mine = (looking = new AbortController());
    document.getElementById("dialog").addEventListener("close", () => mine.abort(), { once: true });
    paintDialog();
    const seen = await run("add-link", () => scan("myownllm://", mine.signal));
    if (looking === mine) stop(); // else it was stopped, and may look again already
    if (seen === undefined) return;
    pasted = seen;
    await look();
  };
  const byName = async (event) => {
    event.preventDefault();
    const relays = event.target.elements.relays?.value.split(/\s+/).filter(Boolean) ?? [];
    const body = { network_id: name, signaling_servers: relays, only_lan: onlyLan };
    if ((await run("add-name", () => ask("POST", "/api/networks", body))) !== undefined) closeDialog();
  };
  const look = async (event) => {
    event?.preventDefault();
    leads = (await run("add-link", () => ask("POST", "/api/networks/import", { text: pasted, look: true }))) ?? null;
    paintDialog();
  };
  const join = async () => {
    if ((await run("add-link", () => ask("POST", "/api/networks/import", { text: pasted }))) !== undefined) closeDialog();
  };
  const generate = async () => {
    name = (await run("add-name", () => ask("POST", "/api/networks/generate-id")))?.network_id ?? name;
    paintDialog();
  };
  openDialog("Add a network", () => html`
    <div class="row tabs" role="group" aria-label="How">
      <button type="button" aria-pressed=${way === "name"} @click=${pick("name")}>By name</button>
      <button type="button" aria-pressed=${way === "link"} @click=${pick("link")}>By link or settings</button>
    </div>
    ${way === "name"
      ? html`<form @submit=${byName}>
          ${field("add-name", "Name", html`<input id="add-name" data-first required maxlength="200" autocomplete="off" autocapitalize="off" spellcheck="false"
            .value=${name} @input=${(event) => (name = event.target.value)}>`, "The same name on every device. Whoever knows it can knock: a long random one keeps strangers away.")}
          <p><button type="button" class="quiet" @click=${generate}>Make up a name</button></p>
          <p><label><input type="checkbox" .checked=${onlyLan} @change=${(event) => ((onlyLan = event.target.checked), paintDialog())}> Only in the local network</label></p>
          <p class="hint">No relay, no server, no internet: devices on one cable or Wi-Fi meet, and no others.</p>
          ${onlyLan ? nothing : html`<details><summary>Relays of your own</summary>${field("add-relays", "Relays", html`<textarea id="add-relays" name="relays" rows="2" spellcheck="false"></textarea>`, "One ws:// or wss:// address a line; left empty: public relays.")}</details>`}
          <div class="row end"><button type="button" @click=${closeDialog}>Cancel</button><button class="main" ?disabled=${isBusy("add-name")}>Join</button></div></form>`
      : html`<form @submit=${look}>
          ${field("add-link", "Link or settings", html`<textarea id="add-link" rows="4" required spellcheck="false" .value=${pasted}
            @input=${(event) => ((pasted = event.target.value), (leads = null), paintDialog())}></textarea>`, "The link of an invitation, or what another device exported.")}
          <p><label class="file">Or read a file <input type="file" @change=${async (event) => {
            pasted = await event.target.files[0].text();
            await look();
          }}></label></p>
          ${!canScan() ? nothing : looking !== null ? html`${view()}<button type="button" @click=${stop}>Stop the camera</button>`
            : html`<p><button type="button" @click=${byCamera}>Scan a QR code…</button></p>`}
          ${leads === null ? nothing : preview(leads)}
          <div class="row end"><button type="button" @click=${closeDialog}>Cancel</button>
            ${leads === null ? html`<button class="main" ?disabled=${isBusy("add-link")}>Look at it</button>`
              : html`<button type="button" class="main" ?disabled=${isBusy("add-link")} @click=${join}>Join ${leads.label || leads.network_id}</button>`}</div></form>`}`);
}

function preview(leads) {
  return html`<section class="card" aria-label="Where it leads"><dl>
    <dt>Network</dt><dd>${words(leads.label || leads.network_id)}${leads.is_saved ? " — saved here already" : ""}</dd>
    ${leads.kind !== "invitation" ? nothing : html`<dt>From</dt><dd>${words(leads.from_label)} <span class="id">${leads.from}</span> — is approved here when you join</dd>
      <dt>Works until</dt><dd>${moment(leads.exp * 1000)}</dd>`}
    <dt>Relays</dt><dd>${leads.only_lan ? "none: devices meet in the local network alone" : leads.relays.length === 0 ? "public relays" : leads.relays.map((url) => html`<div>${words(url)}</div>`)}</dd>
    ${leads.turn.length === 0 ? nothing : html`<dt>TURN</dt><dd>${leads.turn.map((url) => html`<div>${words(url)}</div>`)}</dd>`}
    ${leads.auto_approve ? html`<dt>Careful</dt><dd>Every device that knows the name is let in without asking.</dd>` : nothing}
  </dl></section>`;
}

// ── invitations ──

export function invite() {
  let made = null;
  let list = [];
  const load = async () => {
    list = (await run("invites", () => ask("GET", "/api/invites")))?.invites ?? list;
    paintDialog();
  };
  const make = async (event) => {
    event.preventDefault();
    const { ttl, uses } = event.target.elements;
    made = (await run("invite", () => ask("POST", "/api/invites", { ttl_s: Number(ttl.value), uses: Number(uses.value) }))) ?? null;
    await load();
    document.getElementById("invite-link")?.focus();
  };
  const revoke = (id) => async () => {
    await run("invites", () => ask("DELETE", `/api/invites/${id}`));
    if (made?.id === id) made = null;
    await load();
  };
  const name = (id) => mesh.state.peers[id]?.label ?? id.slice(0, 8);
  openDialog("Invite a device", () => html`
    ${made === null
      ? html`<form @submit=${make}><p>Whoever has the link needs no other approval. Hand it over as you would a key.</p>
          ${field("ttl", "It works for", html`<select id="ttl" name="ttl" data-first><option value="900">15 minutes</option><option value="7200">2 hours</option><option value="86400">1 day</option><option value="604800">7 days</option></select>`)}
          ${field("uses", "Devices that it lets in", html`<input id="uses" name="uses" type="number" min="1" max="100" value="1">`)}
          ${failure("invite")}<button class="main" ?disabled=${isBusy("invite")}>Make a link</button></form>`
      : html`<div class="invitation">${picture(made.qr, "The link as a QR code")}
          ${field("invite-link", "Link", html`<textarea id="invite-link" rows="4" readonly .value=${made.text}></textarea>`)}
          <p>Its time: <span data-until=${made.exp}>${left(made.exp)}</span>.</p>
          <div class="row"><button type="button" @click=${() => copy(made.text, "Link")}>Copy</button><button type="button" @click=${revoke(made.id)}>Take it back</button></div></div>`}
    ${list.length === 0 ? nothing : html`<h3>Invitations of this device</h3><ul class="cards">${list.map((row) => html`<li class="card">
      <div class="grow">${row.used} of ${row.uses} used${row.by.length > 0 ? html` by ${words(row.by.map(name).join(", "))}` : nothing}, ${left(row.exp)}</div>
      <button type="button" @click=${revoke(row.id)}>Take back</button></li>`)}</ul>`}
    ${failure("invites")}<div class="row end"><button type="button" @click=${closeDialog}>Close</button></div>`);
  load();
}

const left = (exp) => {
  const seconds = exp - Date.now() / 1000;
  return seconds > 0 ? `${span(seconds)} left` : "over";
};

// Its time runs down where somebody looks at it.
setInterval(() => {
  for (const each of document.querySelectorAll("[data-until]")) each.textContent = left(Number(each.dataset.until));
}, 1000);
