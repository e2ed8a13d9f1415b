// The mesh as a picture: this device in the middle, the others around it, the internet where a link goes through it.
// Panning and zooming move one box by a CSS transform. While it moves it is a layer of its own that is drawn once (a
// group inside the picture would be drawn again for every frame); at rest it is part of the page, so that it is sharp.

import { svg } from "./vendor/lit-html/lit-html.js";
import { Directive, directive } from "./vendor/lit-html/directive.js";
import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { ask } from "./api.js";
import { mesh, peers } from "./mesh.js";
import { MARK, STATUS, changed, confirm, html, kept, nothing, sentence, words } from "./parts.js";
import { reason } from "./connections.js";
import { approve } from "./status.js";

const LEAST = 0.25;
const MOST = 4;
const REST_MS = 300; // between two turns of a wheel
const view = { x: 0, y: 0, zoom: 1 };
let picked = null;
let held = null;
let rest = 0;

const FORM = { active: "active", shelved: "shelved", pending_approval: "pending", pending_remote: "pending", handshaking: "forming", reconnecting: "forming" };

export function graph() {
  const list = peers().filter((p) => p.status in FORM);
  const isThrough = list.some((peer) => peer.path === "TURN");
  const radius = Math.max(isThrough ? 180 : 110, Math.min(220, list.length * 16), (list.length * 46) / (2 * Math.PI));
  const half = Math.max(220, radius + 70); // with the label of a node at the edge
  const placed = list.map((peer, index) => {
    const angle = (2 * Math.PI * index) / Math.max(list.length, 1) - Math.PI / 2;
    return { peer, x: radius * Math.cos(angle), y: radius * Math.sin(angle) };
  });
  const through = { x: -radius * 0.45, y: -radius * 0.45 };
  const chosen = mesh.state.peers[picked];
  return html`
    <h1 tabindex="-1">Graph</h1>
    <div class="row">
      <button type="button" aria-label="Zoom in" @click=${() => zoom(1.25)}>+</button>
      <button type="button" aria-label="Zoom out" @click=${() => zoom(0.8)}>−</button>
      <button type="button" @click=${() => (Object.assign(view, { x: 0, y: 0, zoom: 1 }), move())}>Reset the view</button>
      <span class="hint">Drag to move, or use the arrow keys. <a href="#/connections">The same as a list</a></span>
    </div>
    <div class="graph" role="group" aria-label="Devices of the mesh" tabindex="0"
      @pointerdown=${grab} @pointermove=${drag} @pointerup=${drop} @pointercancel=${drop} @wheel=${wheel} @keydown=${keys}>
      <div id="moved" ${moved()}><svg viewBox=${`${-half} ${-half} ${2 * half} ${2 * half}`}>
        ${repeat(placed, ({ peer }) => peer.id, ({ peer, x, y }) => kept([peer.status, peer.path, x, y], () => svg`<path class=${`edge ${FORM[peer.status]} ${peer.path ?? ""}`}
          d=${peer.path === "TURN" ? `M0 0L${through.x} ${through.y}L${x} ${y}` : `M0 0L${x} ${y}`}></path>`))}
        ${isThrough ? svg`<g class="internet"><circle cx=${through.x} cy=${through.y} r="26"></circle>
          <text x=${through.x} y=${through.y + 4}>Internet</text></g>` : nothing}
        <g class="node self"><circle r="30"></circle><text y="48">${cut(mesh.state.device.label || "This device")}</text></g>
        ${repeat(placed, ({ peer }) => peer.id, ({ peer, x, y }) => kept([peer.label, peer.status, peer.path, peer.id === picked, x, y], () => node(peer, x, y)))}
      </svg></div></div>
    <p class="hint">Solid: connected. Dashed: resting or waiting. Dotted: on the way. A bent line goes through a TURN server.</p>
    ${chosen === undefined ? nothing : panel(chosen)}`;
}

const node = (peer, x, y) => svg`<g class=${`node ${FORM[peer.status]}`} role="button" tabindex="0" data-node=${peer.id}
  aria-pressed=${peer.id === picked ? "true" : "false"} aria-label=${`${peer.label}, ${STATUS[peer.status]}${peer.path === null ? "" : `, ${peer.path}`}`}
  @click=${() => pick(peer.id)} @keydown=${(event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), pick(peer.id))}>
  <circle cx=${x} cy=${y} r="20"></circle><text class="mark" x=${x} y=${y + 5} aria-hidden="true">${MARK[peer.status]}</text>
  <text x=${x} y=${y < 0 ? y - 30 : y + 38} aria-hidden="true">${cut(peer.label)}</text></g>`; // beside its line

const cut = (text) => (text.length > 16 ? `${text.slice(0, 15)}…` : text);

function pick(id) {
  picked = picked === id ? null : id;
  changed();
}

function panel(peer) {
  const why = reason(peer);
  return html`<section class="card" aria-label="Chosen device"><div class="grow"><strong>${words(peer.label)}</strong> <span class="suffix">${peer.suffix}</span>
      <span class="tag">${STATUS[peer.status]}</span>${peer.path === null ? nothing : html` <span class="tag">${peer.path}</span>`}
      ${peer.status === "pending_remote" ? html`<p>Waiting for the other side.</p>` : nothing}
      ${why === "" ? nothing : html`<p class="why">${sentence(why)}</p>`}</div>
    ${peer.status === "pending_approval" && peer.code_received !== null ? html`<button type="button" @click=${() => approve(peer)}>Approve…</button>` : nothing}
    <button type="button" @click=${() => confirm(`Revoke ${peer.label}?`, "Its approval is taken back; it may knock again.", "Revoke", () =>
      ask("POST", `/api/peers/${peer.id}/remove`))}>Revoke…</button></section>`;
}

// ── moving ──

const where = () => `translate(${view.x}px, ${view.y}px) scale(${view.zoom})`;

// Whoever comes back to the picture finds it as it was left. (The page's policy lets no template write a style.)
const moved = directive(class extends Directive {
  update(part) {
    part.element.style.transform = where();
  }
  render() {}
});

function move() {
  const box = document.getElementById("moved");
  if (box === null) return;
  box.style.transform = where();
  box.classList.add("moving");
  clearTimeout(rest);
  rest = setTimeout(settle, REST_MS);
}

function settle() {
  if (held === null) document.getElementById("moved")?.classList.remove("moving");
}

// What is in the middle of the window stays there.
function zoom(factor) {
  const before = view.zoom;
  view.zoom = Math.min(MOST, Math.max(LEAST, before * factor));
  view.x *= view.zoom / before;
  view.y *= view.zoom / before;
  move();
}

function grab(event) {
  if (event.target.closest("[data-node]") !== null) return;
  held = { x: event.clientX - view.x, y: event.clientY - view.y };
  event.currentTarget.setPointerCapture(event.pointerId);
}

function drag(event) {
  if (held === null) return;
  view.x = event.clientX - held.x;
  view.y = event.clientY - held.y;
  move();
}

function drop() {
  held = null;
  settle();
}

function wheel(event) {
  event.preventDefault();
  zoom(event.deltaY < 0 ? 1.1 : 0.9);
}

function keys(event) {
  const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  view.x += step[0];
  view.y += step[1];
  move();
}
