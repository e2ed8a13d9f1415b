// Files that come and go: what is offered, what moves, what was dropped on a device.

import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { ask, upload } from "./api.js";
import { isConnected, mesh, peers, rows } from "./mesh.js";
import { button, bytes, changed, clock, failure, html, nothing, run, say, span, words } from "./parts.js";

// Files on their way from this page to the app: the page alone knows of them.
const uploads = new Map();
let count = 0;
// Speeds are measured here, between two pictures of a file that moves: what was there before it went on is no speed.
const speeds = new Map();

export function send(peer, list) {
  for (const file of list) {
    const id = `upload-${(count += 1)}`;
    const control = new AbortController();
    const entry = { id, peer: peer.label, name: file.name, size: file.size, share: 0, cancel: () => control.abort() };
    uploads.set(id, entry);
    run("upload", () => upload(peer.id, file, (share) => ((entry.share = share), changed()), control.signal)).finally(() => {
      uploads.delete(id);
      changed();
    });
  }
  location.hash = "#/files";
}

export function dropOn(peer, event) {
  event.preventDefault();
  if (!isConnected(peer) || !peer.takes_files) return say(`${peer.label} takes no files now`);
  send(peer, event.dataTransfer.files);
}

export function pickFiles(peer) {
  const input = document.createElement("input");
  input.type = "file";
  input.multiple = true;
  input.addEventListener("change", () => send(peer, input.files));
  input.click();
}

export function files() {
  const offers = rows("offers").filter((offer) => offer.ended_at === null);
  const moving = rows("files").sort((a, b) => b.started_at - a.started_at);
  const able = peers().filter((p) => isConnected(p) && p.takes_files);
  return html`
    <h1 tabindex="-1">Files</h1>
    ${offers.length === 0 ? nothing : html`<section aria-labelledby="inbox"><h2 id="inbox">Offered to you</h2>
      <ul class="cards">${repeat(offers, (o) => o.id, offer)}</ul></section>`}
    <section aria-labelledby="send"><h2 id="send">Send</h2>
      ${able.length === 0 ? html`<p>No connected device takes files now.</p>` : html`<p class="hint">Drop files on a device, or pick them.</p>
        <ul class="cards drops">${repeat(able, (p) => p.id, (p) => html`<li class="card drop" data-peer=${p.id}
          @dragover=${(event) => event.preventDefault()} @drop=${(event) => dropOn(p, event)}>
          <div class="grow"><strong>${words(p.label)}</strong> <span class="suffix">${p.suffix}</span></div>
          <label class="pick">Pick files for ${words(p.label)}<input type="file" multiple @change=${(event) => (send(p, event.target.files), (event.target.value = ""))}></label></li>`)}</ul>`}
      ${failure("upload")}</section>
    ${uploads.size === 0 && moving.length === 0 ? nothing : html`<section aria-labelledby="transfers"><h2 id="transfers">Transfers</h2>
      <ul class="cards">${[...uploads.values()].map(uploading)}${repeat(moving, (f) => f.id, transfer)}</ul></section>`}`;
}

function offer(each) {
  const place = `offer-${each.id}`;
  return html`<li class="card" data-offer=${each.id}><div class="grow"><strong>${words(each.name)}</strong> from ${words(each.peer)}
      <div class="hint">${bytes(each.total)}, waits ${span((each.expires_at - Date.now()) / 1000)} for you. It goes into ${words(mesh.state.folder)}.</div></div>
    ${button(place, "Accept", () => ask("POST", `/api/files/${each.id}/accept`))}
    ${button(place, "Decline", () => ask("POST", `/api/files/${each.id}/decline`))}${failure(place)}</li>`;
}

const uploading = (each) => html`<li class="card"><div class="grow"><strong>${words(each.name)}</strong> for ${words(each.peer)}
    <div class="hint">taken over from this page, ${bytes(each.size)}</div>
    <progress max="1" .value=${each.share} aria-label=${`${each.name}: taken over`}></progress></div>
  <button type="button" @click=${each.cancel}>Cancel</button></li>`;

const ENDS = { sent: "Sent", received: "Received", aborted: "Ended", offered: "Waits for the other side", sending: "On its way", receiving: "Comes in" };

function transfer(file) {
  const isOver = file.ended_at !== null;
  const place = `file-${file.id}`;
  return html`<li class="card" data-file=${file.name}><div class="grow"><strong>${words(file.name)}</strong> ${file.direction === "outbound" ? "to" : "from"} ${words(file.peer)}
      <span class="tag">${ENDS[file.status] ?? file.status}</span>
      <div class="hint">${isOver ? html`${bytes(file.total)}, ${clock(file.ended_at)}${file.error === "" ? nothing : html`: ${words(file.error)}`}`
        : html`${bytes(file.done)} of ${bytes(file.total)}${speed(file)}`}</div>
      ${isOver || file.status === "offered" ? nothing : html`<progress max=${Math.max(file.total, 1)} .value=${file.done} aria-label=${`${file.name}: how far it is`}></progress>`}</div>
    ${isOver ? nothing : button(place, "Cancel", () => ask("POST", `/api/files/${file.id}/cancel`))}${failure(place)}</li>`;
}

function speed(file) {
  const now = performance.now();
  const last = speeds.get(file.id);
  const { done, status } = file;
  if (last === undefined || done < last.done || status !== last.status) {
    speeds.set(file.id, { done, status, at: now, rate: 0 });
    return "";
  }
  if (now - last.at > 500 && done > last.done) {
    speeds.set(file.id, { done, status, at: now, rate: ((done - last.done) * 1000) / (now - last.at) });
  }
  const { rate } = speeds.get(file.id);
  return rate > 0 ? `, ${bytes(Math.round(rate))}/s` : "";
}
