// What every surface is made of: words for numbers, dialogs, what is read out, and errors beside what caused them.

import { html, noChange, nothing, render, svg } from "./vendor/lit-html/lit-html.js";
import { Directive, directive } from "./vendor/lit-html/directive.js";

export const STATUS = {
  active: "Connected",
  shelved: "Connected, resting",
  pending_approval: "Wants to join",
  pending_remote: "Waits for the other side",
  handshaking: "Connecting",
  reconnecting: "Reconnecting",
  offline: "Away",
  failed: "Failed",
};
export const MARK = {
  active: "●", shelved: "◐", pending_approval: "!", pending_remote: "…", handshaking: "…", reconnecting: "↻", offline: "○",
  failed: "×",
};

export function bytes(size) {
  for (const [unit, factor] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (size >= factor) return `${(size / factor).toFixed(1)} ${unit}`;
  }
  return `${size} bytes`;
}

export const clock = (ms) => new Date(ms).toLocaleTimeString();
export const moment = (ms) => new Date(ms).toLocaleString();
export function span(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

// ── what changes on the page alone: which surface, which dialog, what is being typed ──

let repaint = () => {};
export const onChange = (listener) => (repaint = listener);
export const changed = () => repaint();

// One polite region reads out what a person could not notice otherwise.
export function say(text) {
  const region = document.getElementById("said");
  region.textContent = "";
  requestAnimationFrame(() => (region.textContent = text));
}

const failures = new Map();

// Runs what a control asks for; its failure stands beside the control until it works. Returns the answer, or undefined.
export async function run(place, work) {
  failures.delete(place);
  busy.add(place);
  changed();
  try {
    return await work();
  } catch (error) {
    if (error.name !== "AbortError") {
      failures.set(place, error.message);
      say(error.message);
    }
    return undefined;
  } finally {
    busy.delete(place);
      changed();
    paintDialog();
  }
}

const busy = new Set();
export const isBusy = (place) => busy.has(place);
export const failed = (place) => failures.has(place);
export const wrongWith = (place) => failures.get(place);
export const forget = (place) => failures.delete(place);
export const failure = (place) =>
  failures.has(place) ? html`<p class="wrong" id=${`wrong-${place}`}>${failures.get(place)}</p>` : nothing;

// One of two hundred is only made again when something that it is made of is another.
export const kept = directive(class extends Directive {
  update(_, [of, make]) {
    if (this.of?.every((each, n) => each === of[n])) return noChange;
    this.of = of;
    return make();
  }
  render(_, make) {
    return make();
  }
});

// A button that asks the app for something, with what came of it.
export const button = (place, text, work, kind = "") => html`<button
  type="button" class=${kind} ?disabled=${busy.has(place)} @click=${() => run(place, work)}>${text}</button>`;

// ── dialogs: one at a time; the browser keeps the focus in them and gives it back ──

let content = null;

export function openDialog(title, body) {
  content = { title, body };
  const dialog = document.getElementById("dialog");
  paintDialog();
  if (!dialog.open) dialog.showModal();
  dialog.querySelector("[data-first]")?.focus();
}

export function closeDialog() {
  document.getElementById("dialog").close();
}

export function paintDialog() {
  if (content === null) return;
  const dialog = document.getElementById("dialog");
  render(html`<h2 id="dialog-title">${content.title}</h2>${content.body()}`, dialog);
}

export function setUpDialog() {
  document.getElementById("dialog").addEventListener("close", () => {
    const dialog = document.getElementById("dialog");
    if (dialog.open) return; // the event comes later than the closing: another dialog may be there already
    content = null;
    render(nothing, dialog);
  });
}

// A question before something that cannot be taken back. The harmless answer has the focus.
export function confirm(title, text, yes, work, more = () => nothing) {
  const place = "confirm";
  forget(place);
  openDialog(
    title,
    () => html`<p>${text}</p>${more()}${failure(place)}
      <div class="row end">
        <button type="button" data-first @click=${closeDialog}>Cancel</button>
        <button type="button" class="main" ?disabled=${busy.has(place)} @click=${async () => {
          if ((await run(place, async () => ((await work()), true))) === true) closeDialog();
        }}>${yes}</button>
      </div>`,
  );
}

export function field(id, label, control, hint = "") {
  return html`<div class="field"><label for=${id}>${label}</label>${control}${
    hint === "" ? nothing : html`<p class="hint" id=${`hint-${id}`}>${hint}</p>`
  }${failure(id)}</div>`;
}

export async function copy(text, what) {
  await navigator.clipboard.writeText(text);
  say(`${what} copied`);
}

export const picture = (qr, what) => html`<svg class="qr" role="img" aria-label=${what} viewBox=${`0 0 ${qr.size} ${qr.size}`}>
  ${svg`<rect width=${qr.size} height=${qr.size} fill="#fff"></rect><path d=${qr.path} fill="#000" shape-rendering="crispEdges"></path>`}</svg>`;

// Words of peers and models may go either way; each stands for itself.
export const words = (text) => html`<bdi>${text}</bdi>`;
// `commands` in a sentence of the app stand in backticks.
export const sentence = (text) =>
  text.split(/(`[^`]+`)/).map((part) => (part.startsWith("`") ? html`<code>${part.slice(1, -1)}</code>` : part));

export { html, nothing };
