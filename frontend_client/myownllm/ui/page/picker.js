// Who is asked: the pinned host, one model of one device, or any device with a model of a family.

import { changed, field, html, nothing } from "./parts.js";

// `usable` are models as {id, owned_by, family}; `talk.model` and `talk.family` hold the choice, which is mended here.
export function picker(usable, talk, host) {
  const families = [...new Set(usable.map((m) => m.family).filter(Boolean))];
  if (!families.includes(talk.family)) talk.family = "";
  const isHost = talk.model === "" && talk.family === "" && host !== undefined;
  if (talk.family === "" && !isHost && !usable.some((m) => m.id === talk.model)) talk.model = usable[0].id;
  return field("model", "Who answers", html`<select id="model" @change=${(event) => {
      const { family = "" } = event.target.selectedOptions[0].dataset;
      Object.assign(talk, { family, model: family === "" ? event.target.value : "" });
      changed();
    }}>
      ${host === undefined ? nothing : html`<option value="" ?selected=${isHost}>Pinned host: ${host.label}</option>`}
      ${owners(usable).map(([owner, list]) => html`<optgroup label=${owner}>${list.map((m) =>
        html`<option value=${m.id} ?selected=${m.id === talk.model}>${m.id.split("@")[0]}${m.family ? ` (${m.family})` : ""}</option>`)}</optgroup>`)}
      ${families.length === 0 ? nothing : html`<optgroup label="By family">${families.map((family) =>
        html`<option value=${`any ${family}`} data-family=${family} ?selected=${family === talk.family}>Any device with ${family}</option>`)}</optgroup>`}</select>`, place(usable, talk));
}

// The list, while it is closed, does not say whose model is picked.
function place(usable, talk) {
  const model = talk.family === "" ? usable.find((each) => each.id === talk.model) : undefined;
  return model === undefined ? "" : `On ${model.owned_by ?? "this device"}.`;
}

function owners(usable) {
  const found = new Map();
  for (const model of usable) {
    const owner = model.owned_by ?? "this device";
    found.set(owner, [...(found.get(owner) ?? []), model]);
  }
  return [...found];
}
