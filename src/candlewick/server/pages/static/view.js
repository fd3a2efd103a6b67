// The conversation on screen: applies the patches that the server sends, whoever caused them.

import { path } from "./api.js";
import { announce, byId, clearNotice, element, notice } from "./dom.js";

const scroller = byId("scroll");
const conversation = byId("conversation");
const listeners = new Set();

// Browsers have six connections to a server: tabs that nobody looks at leave theirs to others.
const HIDDEN_MILLISECONDS = 20_000;

let source = null;
let lastId = "";
let retryTimer = 0;
let hiddenTimer = 0;
let atEnd = true;

export const state = { session: conversation.dataset.session || null, writing: null, title: "", settings: null };

export const onState = (listener) => listeners.add(listener);

export function connect(id, since = "") {
  disconnect();
  state.session = id;
  source = new EventSource(path(`/chat/${id}/view?since=${encodeURIComponent(since)}`));
  source.addEventListener("patch", (event) => {
    lastId = event.lastEventId;
    apply(JSON.parse(event.data));
  });
  source.addEventListener("open", clearNotice);
  source.addEventListener("gone", () => {
    disconnect();
    location.assign(path("/"));
  });
  source.addEventListener("failure", (event) => notice(JSON.parse(event.data).error.message, () => connect(id)));
  source.addEventListener("error", () => {
    if (!source) return;
    notice("The connection is lost; trying again…");
    // Browsers come back by themselves unless the server said no.
    if (source.readyState === EventSource.CLOSED) {
      clearTimeout(retryTimer);
      retryTimer = setTimeout(() => connect(id, lastId), 2000);
    }
  });
}

export function disconnect() {
  clearTimeout(retryTimer);
  source?.close();
  source = null;
}

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) hiddenTimer = setTimeout(disconnect, HIDDEN_MILLISECONDS);
  else if (state.session && !source) connect(state.session, lastId);
});

function apply(patch) {
  const stick = atEnd;
  const made = new Set();
  for (const [key, children] of Object.entries(patch.slots)) {
    const holder = byId(key);
    const slot = holder.querySelector(":scope > [data-slot]") ?? holder;
    let place = slot.firstElementChild;
    for (const child of children) {
      let node = byId(child);
      if (!node) {
        node = element(patch.html[child]);
        made.add(child);
      }
      if (node === place) place = place.nextElementSibling;
      else slot.insertBefore(node, place);
    }
    while (place) {
      const next = place.nextElementSibling;
      place.remove();
      place = next;
    }
  }
  for (const [key, html] of Object.entries(patch.html)) {
    const before = byId(key);
    if (before && !made.has(key) && !("shell" in before.dataset)) replace(before, element(html));
  }
  become(patch);
  if (stick) toEnd();
  else if (patch.session.writing) byId("to-end").hidden = false;
}

// What a person opened stays open, and the focus stays where it is.
function replace(before, after) {
  if (before.querySelector(".editor")) return;
  const opened = [...before.querySelectorAll("details")].map((details) => details.open);
  const focus = before.contains(document.activeElement) ? document.activeElement : null;
  const asked = before.querySelector(".ask");
  before.replaceWith(after);
  after.querySelectorAll("details").forEach((details, i) => {
    if (opened[i] && !asked) details.open = true;
  });
  if (focus?.dataset.action) after.querySelector(`[data-action="${focus.dataset.action}"]`)?.focus();
}

function become(patch) {
  const was = state.writing;
  state.writing = patch.session.writing;
  state.title = patch.session.title;
  state.settings = patch.session.settings;
  state.pace = patch.pace;
  state.context = patch.context;
  conversation.setAttribute("aria-busy", String(Boolean(state.writing)));
  if (was && !state.writing) announce("The answer is complete.");
  if (!was && state.writing) announce("An answer is being written.");
  if (document.querySelector(".ask")) announce("A tool call waits for your approval.");
  for (const listener of listeners) listener(state, was !== state.writing);
}

export function toEnd() {
  scroller.scrollTop = scroller.scrollHeight;
  byId("to-end").hidden = true;
}

scroller.addEventListener("scroll", () => {
  atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60;
  if (atEnd) byId("to-end").hidden = true;
});

setInterval(() => {
  for (const elapsed of document.querySelectorAll(".elapsed")) {
    const started = (elapsed.dataset.started ??= Date.now() - 1000 * Number(elapsed.dataset.elapsed));
    elapsed.textContent = `${Math.round((Date.now() - Number(started)) / 1000)} s`;
  }
}, 500);
