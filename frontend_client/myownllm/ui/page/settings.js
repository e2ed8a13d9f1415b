// The settings of a saved network, saved as soon as a field is left; what the daemon made of them stands on top.

import { ask } from "./api.js";
import { activeNetwork, mesh, rows } from "./mesh.js";
import { button, changed, clock, failed, failure, field, html, nothing, run, say, sentence, words } from "./parts.js";
import { addNetwork } from "./joining.js";
import { toolsAndPrompts } from "./sharing.js";

const RECENT_MS = 600_000;
let picked = null;

const DRIFT = {
  pending: "Not applied yet",
  applied: "Applied",
  rebuilt: "Applied; the network was restarted, devices reconnect",
  rejected: "Rejected",
  waiting: "Not applied yet",
};

export function settings() {
  const saved = rows("networks");
  const network = mesh.state.networks[picked] ?? activeNetwork() ?? saved[0];
  return html`
    <h1 tabindex="-1">Settings</h1>
    ${network === undefined ? html`<p>No network is saved yet; <a href="#/status">add one</a> first.</p><div class="row">${importing}</div>` : html`
      ${field("picker", "Network", html`<select id="picker" @change=${(event) => ((picked = event.target.value), changed())}>
        ${saved.map((n) => html`<option value=${n.id} ?selected=${n.id === network.id}>${n.handle}${n.id === mesh.state.active ? " (active)" : ""}</option>`)}</select>`)}
      ${network.id === mesh.state.active ? drift(network) : nothing}
      ${iceBanner()}
      ${form(network)}
      ${toolsAndPrompts()}
      ${selfHosting()}`}`;
}

function drift(network) {
  const { state, text } = mesh.state.mesh.settings;
  if (state === "") return nothing;
  return html`<div class=${`banner ${state === "rejected" ? "bad" : state === "applied" || state === "rebuilt" ? "good" : "wait"}`} data-drift=${state}>
    <p>${DRIFT[state]}${text === "" ? nothing : html`: ${sentence(text)}`}</p>
    ${state === "waiting" ? button("now", "Apply now, cutting that off", () => ask("PATCH", `/api/networks/${network.id}`, { now: true })) : nothing}${failure("now")}</div>`;
}

function iceBanner() {
  const at = mesh.state.mesh.ice_failure_at;
  if (at === null || Date.now() - at > RECENT_MS) return nothing;
  return html`<p class="banner bad">At ${clock(at)} no direct path to a device was found. A TURN server below would carry the link.</p>`;
}

function form(network) {
  const save = (id, body) => run(id, async () => {
    await ask("PATCH", `/api/networks/${network.id}`, body);
    say("Saved");
  });
  const listed = (text) => text.split(/\s+/).filter(Boolean);
  const unset = (word, id) => html`<button type="button" class="quiet" @click=${() => save(id, { defaults: [word] })}>Default</button>`;
  const area = (id, label, value, read, hint, word) => field(id, html`${label}`, html`<textarea id=${id} rows="3" spellcheck="false" .value=${value}
    aria-invalid=${failed(id) ? "true" : "false"} aria-describedby=${`hint-${id}${failed(id) ? ` wrong-${id}` : ""}`}
    @change=${(event) => save(id, read(event.target.value))}></textarea>${unset(word, id)}`, hint);
  return html`<section aria-labelledby="network-settings" data-settings=${network.network_id}><h2 id="network-settings">${words(network.handle)}</h2>
    <p class="hint">${network.handle === network.network_id ? nothing : html`${words(network.network_id)} · `}marked ${network.kind}; what holds stands under <a href="#/governance">Governance</a></p>
    ${field("label", "Name on this device", html`<input id="label" maxlength="200" autocomplete="off" .value=${network.label} @change=${(event) => save("label", { label: event.target.value })}>`)}
    ${field("topology", "Topology", html`<input id="topology" autocomplete="off" spellcheck="false" .value=${topology(network.topology)}
      @change=${(event) => save("topology", { topology: event.target.value.trim() })}>`, "ring, ring:2, full_mesh, star:DEVICE or hubs:DEVICE,DEVICE; empty: unset.")}
    <p><label><input type="checkbox" .checked=${network.auto_approve} @change=${(event) => save("auto", { auto_approve: event.target.checked })}> Let every device in that knows the name, without asking</label></p>${failure("auto")}
    <p><label><input type="checkbox" .checked=${network.only_lan} @change=${(event) => save("lan", { only_lan: event.target.checked })}> Meet in the local network alone, without a relay</label></p>${failure("lan")}
    ${network.only_lan ? nothing : area("relays", "Signaling relays", network.signaling_servers.join("\n"), (text) => ({ signaling_servers: listed(text) }), "One ws:// or wss:// address a line; empty: public relays.", "relays")}
    ${area("stun", "STUN servers", network.stun_servers.join("\n"), (text) => ({ stun_servers: listed(text) }), "One stun:host:port a line; empty: none, for one LAN.", "stun")}
    ${area("turn", "TURN servers", network.turn_servers.map(turnLine).join("\n"), (text) => ({ turn_servers: text.split("\n").filter((line) => line.trim() !== "").map(turnOf) }),
      "One turn:host:port,user,password a line. A password that is saved is not shown; *** keeps it.", "turn")}
    <div class="row">${button("export", "Export…", () => saveFile(network))}${importing}</div>${failure("export")}
    <p class="hint">Another device reads the exported file with “Import…”. TURN passwords are not in it.</p></section>`;
}

const importing = html`<button type="button" @click=${() => addNetwork("link")}>Import…</button>`;
const KEPT = "***";
const turnLine = (server) => [server.url, server.username, server.has_password ? KEPT : ""].join(",").replace(/,+$/, "");
function turnOf(line) {
  const [url, username = "", ...rest] = line.trim().split(",");
  const credential = rest.join(",");
  return { url, username, credential: credential === KEPT ? null : credential };
}

function topology(value) {
  if (value === null) return "";
  if (value.kind === "ring" && value.n_preferred) return `ring:${value.n_preferred}`;
  if (value.kind === "star") return `star:${value.hub}`;
  if (value.kind === "hubs") return `hubs:${value.hubs.join(",")}`;
  return value.kind;
}

async function saveFile(network) {
  const envelope = await ask("POST", `/api/networks/${network.id}/export`, { secrets: false });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(envelope, null, 2)], { type: "application/json" }));
  link.download = `${network.network_id}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}

const selfHosting = () => html`<details><summary>A relay of your own</summary><p>Every device that runs the mesh daemon can host a relay:
  ${sentence("`myownmesh services` shows and starts what a daemon hosts. Put its ws:// address above, on every device.")}</p></details>`;
