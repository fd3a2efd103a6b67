// The list of conversations: search, and being up to date.

import { call, path } from "./api.js";
import { byId, confirmed, notice, setHtml } from "./dom.js";
import { onState, state } from "./view.js";

const search = byId("search");
const sidebar = byId("sidebar");

let timer = 0;

async function refresh() {
  const query = new URLSearchParams({ search: search.value, current: state.session ?? "" });
  const html = await call("GET", `/page/sessions?${query}`).catch(() => null);
  if (html !== null) setHtml(byId("sessions"), html);
}

export function refreshSoon(delay = 150) {
  clearTimeout(timer);
  timer = setTimeout(refresh, delay);
}

export const sidebarActions = {
  "toggle-sidebar"() {
    const isOpen = document.body.classList.toggle("with-sidebar");
    document.querySelector('[aria-controls="sidebar"]').setAttribute("aria-expanded", String(isOpen));
    if (isOpen) search.focus();
  },
  async forget(button) {
    const { session } = button.dataset;
    if (!(await confirmed("Delete this conversation for good?"))) return;
    await call("DELETE", `/v1/sessions/${session}`);
    if (session === state.session) location.assign(path("/"));
    else await refresh();
  },
  import() {
    byId("import-file").click();
  },
};

export function focusSearch() {
  if (matchMedia("(max-width: 760px)").matches && !document.body.classList.contains("with-sidebar")) {
    sidebarActions["toggle-sidebar"]();
  }
  search.focus();
  search.select();
}

search.addEventListener("input", () => refreshSoon());
search.addEventListener("keydown", (event) => {
  if (event.key === "Enter") sidebar.querySelector("#sessions a")?.click();
});
byId("import-file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  try {
    const session = await call("POST", "/v1/sessions/import", JSON.parse(await file.text()));
    location.assign(path(`/chat/${session.id}`));
  } catch (error) {
    notice(error instanceof SyntaxError ? "This file is no JSON." : error.message);
  }
  event.target.value = "";
});

let shownTitle = null;
onState((now, changed) => {
  if (changed || now.title !== shownTitle) {
    shownTitle = now.title;
    byId("title").textContent = now.title || "New conversation";
    document.title = now.title || "Candlewick";
    refreshSoon();
  }
});
addEventListener("focus", () => refreshSoon());
