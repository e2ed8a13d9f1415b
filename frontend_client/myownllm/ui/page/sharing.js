// What the devices of a network share: which tools models may use here, and the prompts.

import { repeat } from "./vendor/lit-html/directives/repeat.js";
import { ask } from "./api.js";
import { mesh } from "./mesh.js";
import { closeDialog, confirm, failure, field, forget, html, isBusy, nothing, openDialog, run, words } from "./parts.js";

const TOOL = { shell: "Run commands", write_file: "Write files" };
const MODES = [["ask", "Ask each time"], ["accept_all", "Allow everything"], ["denied", "Never"]];
let policy = null;
let prompts = null;
let of = null;
let mark = null; // another one: somebody has changed them, here or elsewhere

export async function load() {
  of = mesh.state.active;
  mark = mesh.state.marks.shared;
  await run("shared", async () => {
    policy = await ask("GET", "/api/policy");
    prompts = (await ask("GET", "/api/prompts")).prompts;
  });
}

const changePolicy = (body) => run("policy", async () => {
  await ask("PUT", "/api/policy", body);
  policy = await ask("GET", "/api/policy");
});

export function toolsAndPrompts() {
  if (mesh.state.active === null) return nothing;
  if (of !== mesh.state.active) policy = prompts = null;
  if (of !== mesh.state.active || mark !== mesh.state.marks.shared) load();
  return html`${policy === null ? nothing : html`<section aria-labelledby="policy"><h2 id="policy">What models may do here</h2>
      ${Object.keys(TOOL).map(tool)}
      <p><label><input type="checkbox" .checked=${policy.confirm_relaxing} @change=${(event) => changePolicy({ action: "confirm", on: event.target.checked })}>
        Ask me before another device’s policy lets more pass here</label></p>${failure("policy")}</section>`}
    ${prompts === null ? nothing : html`<section aria-labelledby="prompts"><h2 id="prompts">Prompts</h2>
      ${prompts.length === 0 ? html`<p>There is none yet. The network’s devices share them.</p>` : nothing}
      <ul class="cards">${repeat(prompts, (p) => p.id, prompt)}</ul>
      <button type="button" @click=${() => edit(null)}>Add a prompt…</button></section>`}
    ${failure("shared")}`;
}

function tool(name) {
  const gate = policy[name];
  const held = policy.held[name];
  return html`${field(`mode-${name}`, TOOL[name], html`<select id=${`mode-${name}`} @change=${(event) => changePolicy({ action: "set", tool: name, mode: event.target.value })}>
      ${MODES.map(([value, text]) => html`<option value=${value} ?selected=${gate.mode === value}>${text}</option>`)}</select>`)}
    ${gate.always_accept.length === 0 ? nothing : html`<ul class="cards">${gate.always_accept.map((literal) => html`<li class="card"><code class="grow">${literal}</code>
      <button type="button" @click=${() => changePolicy({ action: "forget", tool: name, literal })}>Forget</button></li>`)}</ul>`}
    ${held === undefined || held.rejected ? nothing : html`<div class="card"><p class="grow">Another device wants: ${MODES.find(([value]) => value === held.record.mode)?.[1] ?? held.record.mode}
      (${held.record.always_accept.length} allowed by name)</p>
      <button type="button" @click=${() => changePolicy({ action: "agree", tool: name, code: held.code })}>Take it over</button>
      <button type="button" @click=${() => changePolicy({ action: "reject", tool: name })}>Keep mine</button></div>`}`;
}

const prompt = (each) => html`<li class="card"><div class="grow"><strong>${words(each.name || "(no name)")}</strong></div>
  <button type="button" @click=${() => edit(each)}>Edit…</button>
  <button type="button" @click=${() => confirm(`Delete ${each.name || "this prompt"}?`, "It goes away on every device of the network.", "Delete it", async () => {
    await ask("DELETE", `/api/prompts/${each.id}`);
    await load();
  })}>Delete…</button></li>`;

function edit(each) {
  forget("prompt");
  const save = async (event) => {
    event.preventDefault();
    const { name, system, user } = event.target.elements;
    const body = { name: name.value, system_prompt: system.value, user_prompt: user.value };
    const asked = each === null ? ["POST", "/api/prompts", body] : ["PATCH", `/api/prompts/${each.id}`, body];
    if ((await run("prompt", () => ask(...asked))) === undefined) return;
    await load();
    closeDialog();
  };
  openDialog(each === null ? "Add a prompt" : "Edit a prompt", () => html`<form @submit=${save}>
    ${field("prompt-name", "Name", html`<input id="prompt-name" name="name" data-first required maxlength="200" .value=${each?.name ?? ""}>`)}
    ${field("prompt-system", "What the model is told first", html`<textarea id="prompt-system" name="system" rows="4" .value=${each?.system_prompt ?? ""}></textarea>`)}
    ${field("prompt-user", "How your words begin", html`<textarea id="prompt-user" name="user" rows="2" .value=${each?.user_prompt ?? ""}></textarea>`)}
    ${failure("prompt")}
    <div class="row end"><button type="button" @click=${closeDialog}>Cancel</button><button class="main" ?disabled=${isBusy("prompt")}>Save</button></div></form>`);
}
