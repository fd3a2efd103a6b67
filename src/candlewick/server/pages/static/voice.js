// Speaking instead of writing, where the browser can hear.

import { grow } from "./composer.js";
import { byId } from "./dom.js";

const Recognition = window.SpeechRecognition ?? window.webkitSpeechRecognition;
const button = byId("voice");
const message = byId("message");

let recognition = null;

export const voiceActions = {
  voice() {
    if (recognition) {
      recognition.stop();
      return;
    }
    const before = message.value && `${message.value.trimEnd()} `;
    recognition = new Recognition();
    recognition.lang = navigator.language;
    recognition.interimResults = true;
    recognition.addEventListener("result", (event) => {
      message.value = before + [...event.results].map((result) => result[0].transcript).join("");
      grow();
    });
    recognition.addEventListener("end", () => {
      recognition = null;
      button.setAttribute("aria-pressed", "false");
      message.focus();
    });
    button.setAttribute("aria-pressed", "true");
    recognition.start();
  },
};

if (Recognition) button.hidden = false;
