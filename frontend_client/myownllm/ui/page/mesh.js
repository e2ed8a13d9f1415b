// The app's picture of the mesh: one WebSocket, a whole picture, then patches that are acknowledged one by one.
// Nothing here decides anything; what is shown is what the app sent last, marked as old while it is away.

import { secret } from "./api.js";

const TABLES = ["networks", "peers", "files", "offers", "work", "questions", "diag"];
const NUMBER = "rtt_ms"; // of a device: what changes all the time
const FIRST_MS = 250;
const MOST_MS = 5000;
const ENDED = [4401, 4403];
const FULL = 4429;

export const mesh = {
  state: null, // the picture, or null before the first one
  rev: 0,
  link: "opening", // opening, live, away (the app is gone), ended (no session), full (too many tabs)
  listeners: [],
};

let socket = null;
let wait = FIRST_MS;
let timer = 0;

const tell = (ids = null) => mesh.listeners.forEach((listener) => listener(ids));

export function connect() {
  clearTimeout(timer);
  if (socket !== null) return;
  socket = new WebSocket(`ws://${location.host}/api/mesh/events`);
  const mine = socket;
  mine.onopen = () => mine.send(JSON.stringify({ secret: secret() }));
  mine.onmessage = (event) => {
    const message = JSON.parse(event.data);
    const ids = mesh.link === "live" ? renewed(message) : null;
    if (!take(message)) return void mine.close(); // something was missed: a new connection begins with a whole picture
    mine.send(JSON.stringify({ ack: mesh.rev }));
    wait = FIRST_MS;
    mesh.link = "live";
    tell(ids);
  };
  mine.onclose = (event) => {
    socket = null;
    mesh.link = ENDED.includes(event.code) ? "ended" : event.code === FULL ? "full" : "away";
    tell();
    if (mesh.link === "ended") return;
    timer = setTimeout(connect, wait);
    wait = Math.min(wait * 2, MOST_MS);
  };
}

// A tab that shows again does not wait for its turn.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && mesh.link !== "ended" && socket === null) {
    wait = FIRST_MS;
    connect();
  }
});

// False when a patch does not fit what is known.
function take(message) {
  if (message.snapshot !== undefined) {
    mesh.state = message.snapshot;
  } else if (message.base === mesh.rev) {
    apply(message.patch);
  } else {
    return false;
  }
  mesh.rev = message.rev;
  return true;
}

// Of rows only members that are others are told; a row is a new object then.
function apply(patch) {
  for (const [name, value] of Object.entries(patch)) {
    if (!TABLES.includes(name)) {
      mesh.state[name] = value;
      continue;
    }
    const rows = mesh.state[name];
    for (const [key, row] of Object.entries(value)) {
      if (row === null) delete rows[key];
      else rows[key] = { ...rows[key], ...row };
    }
  }
}

// The devices of which nothing but numbers is another; null where there is more to tell.
function renewed({ patch }) {
  if (patch?.peers === undefined || Object.keys(patch).length > 1) return null;
  const isNumbers = (row) => row !== null && Object.keys(row).every((name) => name === NUMBER);
  return Object.values(patch.peers).every(isNumbers) ? Object.keys(patch.peers) : null;
}

export const rows = (name) => Object.values(mesh.state?.[name] ?? {});

// Lists of peers, made once for each picture, however often a paint asks.
const once = (make) => {
  let of, rev, list;
  return () => {
    if (of !== mesh.state || rev !== mesh.rev) [of, rev, list] = [mesh.state, mesh.rev, make()];
    return list;
  };
};
export const peers = once(() => rows("peers").sort((a, b) => a.place - b.place));
export const knocks = once(() => peers().filter((p) => p.status === "pending_approval" && p.code_received !== null));
export const isConnected = (peer) => peer.status === "active" || peer.status === "shelved";
export const activeNetwork = () => mesh.state?.networks[mesh.state.active] ?? null;
