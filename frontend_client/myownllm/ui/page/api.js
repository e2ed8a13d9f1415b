// Requests to the app. The cookie goes by itself; the other half of the session lives in this origin's storage alone.

const SECRET = "myownllm-secret";

export class Refused extends Error {
  constructor(status, kind, message) {
    super(message);
    this.status = status;
    this.kind = kind;
  }
}

export const secret = () => localStorage.getItem(SECRET) ?? "";
export const keepSecret = (word) => localStorage.setItem(SECRET, word);
export const forgetSecret = () => localStorage.removeItem(SECRET);

// Trades the word behind `#key=` for a session, and clears the address bar before anything else can see it.
export async function enter() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (key === null) return;
  history.replaceState(null, "", "/");
  const told = await ask("POST", "/api/session", { token: key });
  keepSecret(told.secret);
}

export function headers(more) {
  return { "x-session-secret": secret(), ...more };
}

// One request; throws Refused with the app's own sentence.
export async function ask(method, path, body, signal) {
  const sent = body === undefined && method !== "GET" && method !== "DELETE" ? {} : body;
  const answer = await reach(path, {
    method,
    signal,
    headers: headers(sent === undefined ? {} : { "content-type": "application/json" }),
    body: sent === undefined ? undefined : JSON.stringify(sent),
  });
  return await answer.json();
}

// An answer of many lines, each an object; stopping the iteration or the signal ends it in the app, too.
export async function* lines(path, body, signal) {
  const answer = await reach(path, {
    method: "POST",
    signal,
    headers: headers({ "content-type": "application/json" }),
    body: JSON.stringify(body),
  });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const whole = (rest + value).split("\n");
    rest = whole.pop();
    for (const line of whole) yield JSON.parse(line);
  }
}

async function reach(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, credentials: "same-origin", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "app_gone", "the app does not answer: `myownllm up` starts it");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  if (typeof told?.error === "string") throw new Refused(answer.status, told.error, "this browser was put out");
  throw new Refused(answer.status, told?.error?.kind ?? "error", told?.error?.message ?? `status ${answer.status}`);
}

// A file for a peer. `progress` hears the share that the app has; the answer is the app's list of transfers.
export function upload(peer, file, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/api/files/upload");
    const named = { "x-peer": peer, "x-file-name": encodeURIComponent(file.name) };
    for (const [name, value] of Object.entries(headers(named))) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => progress(event.loaded / Math.max(event.total, 1));
    request.onload = () => {
      let told = null;
      try {
        told = JSON.parse(request.responseText);
      } catch {
        // no object: the status says enough
      }
      if (request.status < 300) resolve(told.files);
      else reject(new Refused(request.status, told?.error?.kind ?? "error", told?.error?.message ?? "not taken"));
    };
    request.onerror = () => reject(new Refused(0, "app_gone", "the app stopped taking the file"));
    request.onabort = () => reject(new DOMException("given up", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
