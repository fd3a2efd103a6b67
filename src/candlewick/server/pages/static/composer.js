// The field that people write in, and how a conversation begins.

import { call, path } from "./api.js";
import { clearAttachments, hasAttachments, withAttachments } from "./attachments.js";
import { byId, clearNotice, notice } from "./dom.js";
import { draftSettings } from "./settings.js";
import { connect, onState, state, toEnd } from "./view.js";

const message = byId("message");
const send = byId("send");
const stop = byId("stop");
const numbers = new Intl.NumberFormat("en");

let maxContext = null;
let isFirst = true;

export async function submit() {
  const text = withAttachments(message.value);
  if (!text.trim() || state.writing || send.disabled) return;
  send.disabled = true;
  send.setAttribute("aria-busy", "true");
  clearNotice();
  try {
    if (!state.session) await begin();
    await call("POST", `/v1/sessions/${state.session}/messages`, { text });
    message.value = "";
    clearAttachments();
    grow();
    toEnd();
  } catch (error) {
    notice(error.message, submit);
  } finally {
    send.disabled = false;
    send.removeAttribute("aria-busy");
  }
}

async function begin() {
  const session = await call("POST", "/v1/sessions", { settings: draftSettings() });
  history.pushState(null, "", path(`/chat/${session.id}`));
  document.body.classList.remove("fresh");
  connect(session.id);
}

export async function stopAnswer() {
  if (state.session && state.writing) await call("POST", `/v1/sessions/${state.session}/stop`);
}

export function grow() {
  message.style.height = "auto";
  message.style.height = `${Math.min(message.scrollHeight, 0.4 * innerHeight)}px`;
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
message.addEventListener("input", grow);
message.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  if (event.key === "Enter" && !event.shiftKey) {
    event.preventDefault();
    submit();
  } else if (event.key === "ArrowUp" && !message.value && !hasAttachments()) {
    const edit = [...document.querySelectorAll(".entry.user")].at(-1)?.querySelector('[data-action="edit"]');
    if (edit) {
      event.preventDefault();
      edit.click();
    }
  }
});

onState((now, changed) => {
  if (changed) {
    send.hidden = Boolean(now.writing);
    stop.hidden = !now.writing;
    if (now.writing) showLoading();
  }
  if ((changed || isFirst) && !now.writing) learnContext();
  isFirst = false;
  const [tokens, seconds] = now.pace ?? [0, 0];
  const pace = byId("pace");
  pace.textContent = "";
  if (now.writing && tokens > 1 && seconds > 0) {
    pace.textContent = `${numbers.format(tokens)} tokens · ${numbers.format(Math.round(tokens / seconds))} a second`;
  }
  showContext();
});

function showContext() {
  const used = state.context;
  byId("context").hidden = !(used && maxContext);
  if (!(used && maxContext)) return;
  byId("context-text").textContent = `Context ${numbers.format(used)} of ${numbers.format(maxContext)} tokens`;
  byId("context-arc").setAttribute("stroke-dasharray", `${Math.min(100, (100 * used) / maxContext)} 100`);
}

function currentModel(models) {
  return models.find((model) => model.name === state.settings?.model) ?? models[0];
}

async function learnContext() {
  const models = await call("GET", "/page/models").catch(() => []);
  maxContext = currentModel(models)?.max_context ?? null;
  showContext();
}

// While the first token is waited for, the model may still be on its way into memory.
async function showLoading() {
  while (state.writing) {
    const waiting = document.querySelector(".waiting-text");
    if (!waiting && document.querySelector(`#${CSS.escape(state.writing)} .prose`)) return;
    const model = currentModel(await call("GET", "/page/models").catch(() => []));
    if (waiting && model?.state === "loading") {
      waiting.textContent = `Loading ${model.name} · ${Math.round(100 * (model.progress ?? 0))} %`;
      const bar = waiting.parentElement.querySelector("progress") ?? document.createElement("progress");
      bar.setAttribute("aria-hidden", "true"); // the words say it
      bar.value = model.progress ?? 0;
      waiting.after(bar);
    }
    await new Promise((resolve) => setTimeout(resolve, 700));
  }
}
