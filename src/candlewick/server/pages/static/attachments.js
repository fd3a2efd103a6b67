// Long texts and files that go along with a message. They are kept beside the field, which would be slow with them in it.

import { byId, element, notice } from "./dom.js";

const PASTED_CHARACTERS = 4000;
const MOST_CHARACTERS = 4_000_000;

const list = byId("attachments");
const file = byId("attach-file");
const numbers = new Intl.NumberFormat("en");

let attachments = [];

// What is sent: the attachments, each under its name, then the words; as models like it best.
export function withAttachments(text) {
  const parts = attachments.map(({ name, content }) => (name ? `${name}:\n\n${content}` : content));
  return [...parts, text].filter((part) => part.trim()).join("\n\n");
}

export function clearAttachments() {
  attachments = [];
  show();
}

export const hasAttachments = () => attachments.length > 0;

function add(name, content) {
  if (content.length > MOST_CHARACTERS) {
    notice(`“${name || "The text"}” is too long to be sent: ${numbers.format(content.length)} characters.`);
    return;
  }
  attachments.push({ name, content });
  show();
}

function show() {
  list.hidden = !attachments.length;
  list.replaceChildren(
    ...attachments.map((attachment) => {
      const item = element(
        '<li><span class="name"></span> <span class="dim"></span><button type="button" class="icon-button">' +
          '<svg class="icon" aria-hidden="true"><use href="#i-close"/></svg></button></li>',
      );
      const [name, size] = item.querySelectorAll("span");
      const remove = item.querySelector("button");
      name.textContent = attachment.name || "Pasted text";
      size.textContent = `${numbers.format(attachment.content.length)} characters`;
      remove.setAttribute("aria-label", `Remove ${name.textContent}`);
      remove.addEventListener("click", () => {
        attachments = attachments.filter((other) => other !== attachment);
        show();
        byId("message").focus();
      });
      return item;
    }),
  );
}

async function read(files) {
  for (const chosen of files) {
    const content = await chosen.text();
    if (content.includes("\0")) notice(`“${chosen.name}” is no text.`);
    else add(chosen.name, content);
  }
}

export const attachmentActions = {
  attach() {
    file.click();
  },
};

file.addEventListener("change", async () => {
  await read(file.files);
  file.value = "";
});
byId("message").addEventListener("paste", (event) => {
  const text = event.clipboardData.getData("text/plain");
  if (event.clipboardData.files.length) {
    event.preventDefault();
    read(event.clipboardData.files);
  } else if (text.length > PASTED_CHARACTERS) {
    event.preventDefault();
    add("", text);
  }
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  read(event.dataTransfer.files);
});
