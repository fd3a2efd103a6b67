// The chat page: what is pressed and typed goes to the module that knows what it means.

import { entryActions } from "./actions.js";
import { attachmentActions } from "./attachments.js";
import { stopAnswer } from "./composer.js";
import { byId, notice } from "./dom.js";
import { settingsActions } from "./settings.js";
import { focusSearch, sidebarActions } from "./sidebar.js";
import { connect, state, toEnd } from "./view.js";
import { voiceActions } from "./voice.js";

const actions = {
  ...attachmentActions,
  ...entryActions,
  ...settingsActions,
  ...sidebarActions,
  ...voiceActions,
  stop: stopAnswer,
  "to-end": toEnd,
};

async function act(button) {
  try {
    await actions[button.dataset.action]?.(button);
  } catch (error) {
    notice(error.message, () => act(button));
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button && button.dataset.action in actions) act(button);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
    if (document.body.classList.contains("with-sidebar")) sidebarActions["toggle-sidebar"]();
    else stopAnswer().catch((error) => notice(error.message));
  } else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    focusSearch();
  }
});

addEventListener("popstate", () => location.reload());

const conversation = byId("conversation");
if (state.session) {
  connect(state.session, conversation.dataset.since);
  toEnd();
}
// Until here nobody would have heard of what is typed and sent.
byId("message").disabled = false;
byId("send").disabled = false;
byId("message").focus();
