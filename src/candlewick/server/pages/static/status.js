// Looks again every few seconds.

import { call } from "./api.js";
import { byId, setHtml } from "./dom.js";

setInterval(async () => {
  if (document.hidden) return;
  const html = await call("GET", "/page/status").catch(() => null);
  if (html !== null) setHtml(byId("status"), html);
}, 2000);
