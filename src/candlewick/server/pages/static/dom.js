// Finding and making elements. HTML comes from our own server only, which has made it safe; the policy is the one
// place where text becomes HTML.

const policy = window.trustedTypes?.createPolicy("candlewick", { createHTML: (html) => html }) ?? {
  createHTML: (html) => html,
};

export const byId = (id) => document.getElementById(id);

export function element(html) {
  const template = document.createElement("template");
  template.innerHTML = policy.createHTML(html);
  return template.content.firstElementChild;
}

export function setHtml(target, html) {
  const template = document.createElement("template");
  template.innerHTML = policy.createHTML(html);
  target.replaceChildren(template.content);
}

export async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Pages that are not served securely have no clipboard of their own.
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "hidden";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1500);
  announce("Copied");
}

export function announce(text) {
  byId("announce").textContent = text;
}

// An error in words, with a way to try again where there is one.
export function notice(text, retry = null) {
  const bar = byId("notice");
  bar.replaceChildren(text);
  if (retry) {
    const button = element('<button type="button" class="button">Try again</button>');
    button.addEventListener("click", () => {
      clearNotice();
      retry();
    });
    bar.append(button);
  }
  bar.hidden = false;
}

export function clearNotice() {
  byId("notice").hidden = true;
}

// Asks before something is lost for good.
export function confirmed(question) {
  const dialog = byId("confirm");
  dialog.querySelector("p").textContent = question;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
