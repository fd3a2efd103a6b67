// What the buttons at entries do.

import { call, path } from "./api.js";
import { copyText, element, notice } from "./dom.js";
import { state } from "./view.js";

const here = () => `/v1/sessions/${state.session}`;
const entryOf = (button) => button.closest(".entry").id;

export const entryActions = {
  async copy(button) {
    const { entries } = await call("GET", here());
    const entry = entries.find(({ id }) => id === entryOf(button));
    const texts = entry.parts.filter(({ kind }) => kind === "text").map(({ text }) => text);
    await copyText(texts.join("\n\n"), button);
  },
  async "copy-code"(button) {
    await copyText(button.closest(".code").querySelector("code").textContent, button);
  },
  async again(button) {
    await call("POST", `${here()}/entries/${entryOf(button)}/answer`);
  },
  async show(button) {
    await call("POST", `${here()}/entries/${button.dataset.show}/show`);
  },
  async approve(button) {
    await call("POST", `${here()}/approvals/${encodeURIComponent(button.dataset.call)}`, { approved: true });
  },
  async refuse(button) {
    await call("POST", `${here()}/approvals/${encodeURIComponent(button.dataset.call)}`, { approved: false });
  },
  async fork(button) {
    const session = await call("POST", `${here()}/fork`, { entry: entryOf(button) });
    location.assign(path(`/chat/${session.id}`));
  },
  edit(button) {
    const entry = button.closest(".entry");
    const said = entry.querySelector(".said");
    if (entry.querySelector(".editor")) return;
    const editor = element(
      '<form class="editor"><textarea aria-label="Your message" dir="auto"></textarea><div>' +
        '<button type="button" class="button">Cancel</button><button class="button primary">Send</button></div></form>',
    );
    const area = editor.querySelector("textarea");
    area.value = [...said.querySelectorAll(".piece")].map((piece) => piece.textContent).join("");
    area.rows = Math.min(12, area.value.split("\n").length + 1);
    const close = () => {
      editor.remove();
      said.hidden = false;
      button.focus();
    };
    const finish = async () => {
      try {
        await call("POST", `${here()}/entries/${entry.id}/edit`, { text: area.value });
        editor.remove();
        said.hidden = false;
      } catch (error) {
        notice(error.message, finish);
      }
    };
    editor.querySelector('[type="button"]').addEventListener("click", close);
    editor.addEventListener("submit", (event) => {
      event.preventDefault();
      finish();
    });
    editor.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        event.stopPropagation();
        close();
      } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        finish();
      }
    });
    said.hidden = true;
    said.after(editor);
    area.focus();
  },
};

