// The settings of the conversation that is shown; before it begins, those that it will begin with.

import { call, path } from "./api.js";
import { byId, confirmed, notice } from "./dom.js";
import { onState, state } from "./view.js";

const dialog = byId("settings");
const form = dialog.querySelector("form");
const model = byId("model");
const thinking = byId("thinking");

let draft = {};

export function draftSettings() {
  return { ...draft, model: model.value || null, thinking: thinking.value };
}

const number = (name) => (form.elements[name].value === "" ? null : Number(form.elements[name].value));

function read() {
  return {
    thinking: form.elements.thinking.value,
    system_prompt: form.elements.system_prompt.value,
    temperature: number("temperature"),
    top_p: number("top_p"),
    max_tokens: number("max_tokens"),
    tools: form.elements.tools.checked,
  };
}

function fill({ settings, title }) {
  for (const name of ["system_prompt", "temperature", "top_p", "max_tokens", "thinking"]) {
    form.elements[name].value = settings[name] ?? "";
  }
  form.elements.tools.checked = settings.tools;
  form.elements.title.value = title;
}

async function save() {
  if (!form.reportValidity()) return;
  draft = read();
  thinking.value = draft.thinking;
  try {
    if (state.session) {
      const title = form.elements.title.value.trim();
      await call("PATCH", `/v1/sessions/${state.session}`, { settings: draft, title: title || null });
    }
    dialog.close();
  } catch (error) {
    dialog.close();
    notice(error.message, save);
  }
}

function download(format) {
  if (state.session) location.assign(path(`/v1/sessions/${state.session}/export?format=${format}`));
}

export const settingsActions = {
  settings() {
    for (const part of dialog.querySelectorAll(".only-saved")) part.hidden = !state.session;
    if (state.settings) fill(state);
    else form.elements.thinking.value = thinking.value;
    dialog.showModal();
  },
  "save-settings": save,
  "export-json": () => download("json"),
  "export-markdown": () => download("markdown"),
  async delete() {
    if (!(await confirmed("Delete this conversation for good?"))) return;
    await call("DELETE", `/v1/sessions/${state.session}`);
    location.assign(path("/"));
  },
};

form.addEventListener("submit", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
function changeAtOnce(setting, select) {
  select.addEventListener("change", async () => {
    if (!state.session) return;
    const settings = { [setting]: select.value };
    await call("PATCH", `/v1/sessions/${state.session}`, { settings }).catch((error) => notice(error.message));
  });
}
changeAtOnce("model", model);
changeAtOnce("thinking", thinking);
onState(({ settings }) => {
  if (settings.model) model.value = settings.model;
  thinking.value = settings.thinking;
});
