// Requests to our own server.

const root = document.body.dataset.root;

export const path = (text) => root + text;

export async function call(method, where, body) {
  let response;
  try {
    response = await fetch(path(where), {
      method,
      headers: { "Content-Type": "application/json", "X-Candlewick": "1" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Error("The server can’t be reached.");
  }
  if (response.status === 401) {
    location.assign(path("/login"));
  }
  if (!response.ok) {
    const reply = await response.json().catch(() => null);
    throw new Error(reply?.error?.message ?? `The server answered ${response.status}.`);
  }
  if (response.status === 204) return null;
  const type = response.headers.get("Content-Type") ?? "";
  return type.startsWith("application/json") ? response.json() : response.text();
}
