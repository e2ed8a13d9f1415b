// The devices of the active network: how each is reached, why one is not, and what runs with them.

import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { ask } from "./api.js";
import { isConnected, mesh, peers, rows } from "./mesh.js";
import { MARK, STATUS, button, changed, clock, confirm, failure, html, nothing, sentence, words } from "./parts.js";
import { row } from "./rows.js";
import { dropOn, pickFiles } from "./files.js";
import { approve } from "./status.js";

const ALONE = "It goes on by itself.";
const LOOK_THERE = "If it stays so, look whether the app runs there.";
const ANEW = "It goes on by itself; Reconnect makes a new link at once.";
// By the daemon's code for why a link is not what it should be.
const REMEDY = {
  needs_turn: "Add a TURN server in Settings: it carries the link where no direct path works.",
  waits_for_us: "Compare the codes, then approve it.",
  waits_for_them: "Somebody must approve this device over there.",
  offline: "Check this device’s own connection.",
  waits_after_failures: "Reconnect tries at once.",
  kept_apart_by_shape: "Another topology in Settings would connect the two directly.",
  silent_network: "Reconnect makes one.",
  listens_only: "Reconnect makes one.",
  waits_for_signature: "It stands under Governance.",
  waits_for_authority: "A device that was there before has to be connected.",
  no_path_yet: "A TURN server in Settings carries the link where none works.",
  shelved: "It is asked and answered like the others.",
  waits_for_turn: ALONE, prepares_offer: ALONE,
  waits_for_offer: LOOK_THERE, waits_for_answer: LOOK_THERE, waits_for_hello: LOOK_THERE, waits_for_proof: LOOK_THERE,
  path_down: ANEW, path_untested: ANEW, rebuilding: ANEW, suspected: ANEW,
};
// Of one that the daemon says no more of.
const BY_STATUS = { offline: "It is linked by itself when it is there again.", failed: "Reconnect tries anew.", shelved: REMEDY.shelved };

let wanted = "";
let order = "state";
export const isByNumbers = () => order === "rtt";

const LETTERS = new Intl.Collator();
const SORTS = {
  name: (a, b) => LETTERS.compare(a.label, b.label),
  rtt: (a, b) => (a.rtt_ms ?? 1e9) - (b.rtt_ms ?? 1e9),
};

export function connections() {
  const all = peers();
  const word = wanted.toLowerCase();
  const seen = all.filter((p) => word === "" || `${p.label} ${p.display} ${p.path ?? ""} ${STATUS[p.status]}`.toLowerCase().includes(word));
  if (order !== "state") seen.sort(SORTS[order]);
  const ring = seen.filter((p) => p.status === "active");
  const indirect = seen.filter((p) => p.status !== "active");
  return html`
    <h1 tabindex="-1">Connections</h1>
    ${mesh.state.active === null || !mesh.state.supervisor.is_up ? nothing : html`<p class="hint" data-found>${found()}</p>`}
    ${all.length === 0 ? html`<p>${mesh.state.active === null ? "No network is active." : "No other device has been seen on this network yet."}</p>` : nothing}
    ${mesh.state.active === null ? nothing : html`<div class="row filters">
      ${all.length === 0 ? nothing : html`<label>Filter <input type="search" .value=${wanted} @input=${(event) => ((wanted = event.target.value), changed())}></label>
      <label>Sort by <select @change=${(event) => ((order = event.target.value), changed())}>
        ${[["state", "state"], ["name", "name"], ["rtt", "answer time"]].map(([value, text]) => html`<option value=${value} ?selected=${order === value}>${text}</option>`)}</select></label>`}
      ${button("rediscover", "Look for devices anew", () => ask("POST", "/api/mesh/rediscover"))}${failure("rediscover")}
    </div>`}
    ${group("Ring", "Connected directly", ring)}
    ${group("Indirect", "Resting, away, or on the way", indirect)}
    ${work()}`;
}

// How devices of the network are found at the moment.
function found() {
  const { relays, lan } = mesh.state.mesh;
  const serve = (relays ?? []).filter((each) => each.state === "up").length;
  const ways = [serve === 0 ? "" : serve === 1 ? "over one relay" : `over ${serve} relays`, lan ? "in the local network" : ""].filter(Boolean);
  const silent = (relays ?? []).length - serve;
  if (relays === null && !lan) return "";
  if (ways.length === 0) return "Nobody can be found at the moment; the headline under Status says why.";
  const how = ways.length === 1 && lan ? "in the local network alone" : ways.join(" and ");
  return `Devices are found ${how}.${silent > 0 ? ` ${silent === 1 ? "One relay does" : `${silent} relays do`} not answer.` : ""}`;
}

function group(title, hint, list) {
  if (list.length === 0) return nothing;
  return html`<section aria-labelledby=${`group-${title}`}><h2 id=${`group-${title}`}>${title} <span class="hint">${hint}</span></h2>
    <ul class="cards">${repeat(list, (p) => p.id, (p) => row(p, `peer-${p.id}`, card))}</ul></section>`;
}

// Why a link is not what it should be, and what helps: for every one that is not active, and for those through TURN.
export function reason(peer) {
  if (peer.path === "TURN") return "No direct path works, so everything goes through a TURN server, which is slower. Opening UDP on one of the two routers would help.";
  if (peer.status === "active") return "";
  const text = peer.why?.text ?? (peer.needs_turn ? "no direct path works, and there is no TURN server" : STATUS[peer.status].toLowerCase());
  return `${text[0].toUpperCase()}${text.slice(1)}. ${REMEDY[peer.why?.code] ?? (peer.needs_turn ? REMEDY.needs_turn : BY_STATUS[peer.status] ?? ALONE)}`;
}

function card(peer) {
  const place = `peer-${peer.id}`;
  const why = reason(peer);
  const open = (path, body) => () => ask("POST", `/api/peers/${peer.id}/${path}`, body);
  return html`<li class=${`card peer ${peer.status}`} data-peer=${peer.id}
      @dragover=${(event) => event.preventDefault()} @drop=${(event) => dropOn(peer, event)}>
    <div class="grow">
      <strong><span aria-hidden="true">${MARK[peer.status]}</span> ${words(peer.label)}</strong> <span class="suffix">${peer.suffix}</span>
      <span class="tag">${STATUS[peer.status]}</span>
      ${peer.path === null ? nothing : html`<span class="tag">${peer.path}</span>`}
      ${peer.rtt_ms === null ? nothing : html`<span class="tag">${peer.rtt_ms} ms</span>`}
      ${peer.is_host ? html`<span class="tag" title="Questions go to it when no other model is picked">pinned host</span>` : nothing}
      ${peer.badges.map((each) => html`<span class="tag">${each}</span>`)}
      <div class="hint">${[peer.summary, peer.compatibility].filter(Boolean).map((text, place) => html`${place === 0 ? "" : " · "}${words(text)}`)}</div>
      ${why === "" ? nothing : html`<p class="why">${sentence(why)}</p>`}
    </div>
    <div class="row">
      ${peer.status === "pending_approval" && peer.code_received !== null ? html`<button type="button" @click=${() => approve(peer)}>Approve…</button>` : nothing}
      ${isConnected(peer) && peer.takes_files ? html`<button type="button" @click=${() => pickFiles(peer)}>Send a file…</button>` : nothing}
      ${peer.is_host ? button(place, "Unpin", open("pin", { purpose: "text", on: false }))
        : isConnected(peer) && peer.models.length > 0 ? button(place, "Pin as host", open("pin", { purpose: "text" })) : nothing}
      ${button(place, "Reconnect", open("reconnect"))}
      <button type="button" @click=${() => confirm(`Remove ${peer.label}?`, "Its approval is taken back; it may knock again.", "Remove it", open("remove"))}>Remove…</button>
    </div>${failure(place)}</li>`;
}

const KIND = {
  outbound_infers: "asks", inbound_infers: "is asked by", outbound_moves: "moves to", inbound_moves: "gets from",
  outbound_transcribes: "has transcribed by", inbound_transcribes: "transcribes for",
};

function work() {
  const list = rows("work").sort((a, b) => b.started_at - a.started_at).slice(0, 20);
  if (list.length === 0) return nothing;
  return html`<section aria-labelledby="work"><h2 id="work">Work with other devices</h2><ul class="cards">${repeat(list, (w) => w.id, (w) => html`<li class="card">
    <div class="grow">This device ${KIND[w.kind] ?? w.kind} ${words(w.peer)}${w.title === "" ? nothing : html`: ${words(w.title)}`}
      <span class="hint">${w.ended_at === null ? `since ${clock(w.started_at)}` : w.error === "" ? "done" : html`ended: ${words(w.error)}`}</span></div>
    ${w.ended_at === null ? button(`work-${w.id}`, "Cancel", () => ask("POST", `/api/work/${w.id}/cancel`)) : nothing}${failure(`work-${w.id}`)}</li>`)}</ul></section>`;
}
