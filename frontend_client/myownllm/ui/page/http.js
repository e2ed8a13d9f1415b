// What listens over HTTP: the remote screen for browsers of the local network, and the local API for programs here.

import { ask } from "./api.js";
import { mesh } from "./mesh.js";
import { button, changed, confirm, copy, failure, field, forget, html, nothing, picture, run, say, sentence, words } from "./parts.js";

let pairing = null; // the code that was asked for here, and until when it stands
let addresses = []; // with their pictures
let known = null;
let warning = "";
let token; // of the local API, once somebody wanted to see it

export function http() {
  const { remote } = mesh.state;
  const now = remote.addresses.join();
  if (known !== now) {
    known = now;
    run("remote-look", async () => ({ addresses, warning } = await ask("GET", "/api/remote")));
  }
  return html`
    <h1 tabindex="-1">HTTP</h1>
    <section aria-labelledby="remote"><h2 id="remote">Remote screen</h2>
      <p>A small chat for the browsers of other devices in your local network, such as a phone.</p>
      <p data-remote>${state(remote)}</p>
      <div class="row">${remote.enabled ? button("remote", "Turn it off", () => set({ enabled: false })) : html`<button type="button" @click=${turnOn}>Turn it on…</button>`}</div>${failure("remote")}
      ${field("remote-port", "Port", html`<input id="remote-port" inputmode="numeric" autocomplete="off" .value=${String(remote.port)}
        @change=${(event) => run("remote-port", () => setPort(event.target.value))}>`, "1474 is usual; 0 takes a free one.")}
      ${remote.running ? running(remote) : nothing}</section>
    ${api()}`;
}

function state(remote) {
  if (!remote.enabled) return "Off: no other device can reach it.";
  if (remote.running) return html`<strong>On: every device of the local network can reach port ${remote.port}.</strong> What is said goes over it without encryption.`;
  return sentence(remote.reason || "Opening…");
}

const set = async (body) => {
  await ask("PUT", "/api/remote", body);
  pairing = null;
  say("Saved");
};

function setPort(text) {
  if (!/^\d{1,5}$/.test(text.trim())) throw new Error("a port is a number from 0 to 65535");
  return set({ port: Number(text) });
}

const turnOn = () => confirm("Open it to the local network?", warning, "Open it", () => set({ enabled: true }));

function running(remote) {
  return html`
    <h3>Where it is</h3>
    ${addresses.length === 0 ? html`<p>This machine has no address in a local network now.</p>` : html`<ul class="cards">${addresses.map((each) => html`<li class="card">
      <span class="id grow">${each.url}</span><details><summary>QR code</summary>${picture(each.qr, `${each.url} as a QR code`)}</details></li>`)}</ul>`}
    ${failure("remote-look")}
    <h3>Pair a browser</h3>
    <p>Open the address there and type the code that is shown here. It is for one browser and for five minutes.</p>
    ${code(remote)}${failure("pair")}
    <h3>Paired browsers</h3>
    ${remote.guests.length === 0 ? html`<p>None.</p>` : html`<ul class="cards">${remote.guests.map(guest)}</ul>`}${failure("kick")}`;
}

function code(remote) {
  const stands = pairing !== null && remote.code_until_ms !== null && Date.now() < pairing.until_ms;
  if (!stands) {
    return html`${remote.code_voided ? html`<p class="wrong">Too many wrong codes were typed: the last one is void.</p>` : nothing}
      <div class="row">${button("pair", "Show a code", async () => {
        pairing = await ask("POST", "/api/remote/pair");
        say(`The code is ${[...pairing.code].join(" ")}`);
        setTimeout(changed, Math.max(0, pairing.until_ms - Date.now()));
      })}</div>`;
  }
  return html`<div class="tiles" role="img" data-code aria-label=${[...pairing.code].join(" ")}>${[...pairing.code].map((each) => html`<span aria-hidden="true">${each}</span>`)}</div>`;
}

const guest = (each) => html`<li class="card" data-guest=${each.id}><span class="grow"><strong>${words(each.address || "A browser")}</strong>
  <span class="hint">${each.is_here ? "here now" : each.address === "" ? "not seen since the app began" : "away"} · ${each.id}</span></span>
  ${button("kick", "Put out", async () => {
    await ask("POST", "/api/remote/kick", { id: each.id });
    say("It is put out and needs a new code");
  })}</li>`;

// ── the local API ──

const api = () => html`<section aria-labelledby="api"><h2 id="api">Local API</h2>
  <p>Programs of this machine use the models at <span class="id">${mesh.state.api || "(closed)"}</span>.</p>
  ${token === undefined ? html`<div class="row">${button("token", "Show the token", async () => (token = (await ask("POST", "/api/local-api/token")).token))}</div>`
    : token === null ? html`<p data-token>No token is set: every program of this machine may use it. <code>api.bearer_token</code> in config.json sets one.</p>`
    : html`<p data-token>Its token is <code>${token}</code></p><div class="row">${button("copy-token", "Copy it", () => copy(token, "Token"))}
      <button type="button" @click=${() => ((token = undefined), forget("token"), changed())}>Hide it</button></div>`}${failure("token")}${failure("copy-token")}</section>`;
