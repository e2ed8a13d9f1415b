// Rows of a long list of devices. One is made again when it is another; where nothing but numbers has changed, only those
// rows are touched, and what nobody looks at waits: two hundred devices cost a page hardly more than those in sight.

import { noChange } from "./vendor/lit-html/lit-html.js";
import { Directive, directive } from "./vendor/lit-html/directive.js";
import { setChildPartValue } from "./vendor/lit-html/directive-helpers.js";
import { mesh } from "./mesh.js";
import { isBusy, wrongWith } from "./parts.js";

const LATE = 4; // rows out of sight that are made with those in sight, the one that waits longest first
const LATE_MS = 300; // between two times when nothing else happens
const AHEAD = "25%"; // of the window, above and below, is in sight, too: whoever scrolls finds it as it is

const made = new Map();
const unseen = new WeakSet();
const late = new Set();
const fresh = [];
let timer = 0;

const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) unseen.add(target);
    else if (unseen.delete(target) && late.delete(target.dataset.peer)) show(target.dataset.peer);
  }
}, { rootMargin: AHEAD });

// A device's own object, the place of what runs on it, and what makes a row of it.
export const row = directive(class extends Directive {
  update(part, [of, place, make]) {
    const isAnother = this.of !== of || this.busy !== isBusy(place) || this.wrong !== wrongWith(place);
    if (this.of === undefined && fresh.push(this) === 1) setTimeout(look); // there is no element before it is painted
    Object.assign(this, { part, of, make, busy: isBusy(place), wrong: wrongWith(place) });
    made.set(of.id, this);
    return isAnother ? make(of) : noChange;
  }

  render(of, _, make) {
    return make(of);
  }
});

function look() {
  for (const each of fresh.splice(0)) {
    each.element = each.part.startNode.nextElementSibling; // null when the list is gone already
    if (each.element !== null) watch.observe(each.element);
  }
  for (const [id, each] of made) if (!each.element?.isConnected) made.delete(id); // of a device or a list that is gone
}

function show(id) {
  const mine = made.get(id);
  const of = mesh.state.peers[id];
  if (mine === undefined || of === undefined || mine.of === of) return;
  mine.of = of;
  setChildPartValue(mine.part, mine.make(of), mine);
}

// Numbers of these devices are others, and nothing else.
export function renew(ids) {
  for (const id of ids) {
    if (unseen.has(made.get(id)?.element)) late.add(id);
    else show(id);
  }
  catchUp();
}

function catchUp() {
  clearTimeout(timer);
  for (const id of [...late].slice(0, LATE)) {
    late.delete(id);
    show(id);
  }
  if (late.size > 0) timer = setTimeout(catchUp, LATE_MS);
}
