// Calling the REST API.
import { addTo } from "./url.js";

const { root: ROOT = "", scope, csrfToken } = document.documentElement.dataset;
export { ROOT };

// Whether whoever is signed in may change something; the server asks again.
export const MAY_CHANGE = scope === "submit" || scope === "admin";
export const MAY_NOT = "An API key of the scope read sees everything and changes nothing.";

// What the server says of a request that it refuses: its detail, and where in the body each mistake is.
class ProblemError extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the server answered ${status}`);
    this.status = status;
    this.errors = problem.errors ?? [];
  }
}

export async function get(path, options = {}) {
  return read(await reach(`${ROOT}/api/v1${path}`, { headers: { Accept: "application/json" }, ...options }));
}

export async function getText(path) {
  const response = await reach(`${ROOT}/api/v1${path}`);
  return response.ok ? response.text() : read(response);
}

// Call a function with each piece of a text as it comes; resolves at its end.
export async function followText(path, onPiece, signal) {
  const response = await reach(`${ROOT}/api/v1${path}`, { signal });
  if (!response.ok) {
    await read(response);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    onPiece(piece.value);
  }
}

// Send what changes something; the path is one of the server, not of the API alone. The same key sent again makes
// nothing again.
export async function send(method, path, body = undefined, { idempotencyKey = null } = {}) {
  const headers = { Accept: "application/json" };
  if (idempotencyKey !== null) {
    headers["Idempotency-Key"] = idempotencyKey;
  }
  if (csrfToken !== undefined) {
    headers["X-CSRF-Token"] = csrfToken;
  }
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
  }
  return read(await reach(`${ROOT}${path}`, { method, headers, body: JSON.stringify(body) }));
}

// The path of the API with these parameters.
export function withQuery(path, parameters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    addTo(query, name, value);
  }
  return query.size ? `${path}?${query}` : path;
}

async function reach(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") {
      throw error;
    }
    throw new Error("The server does not answer. Is it running? Then look at the network between you and it.", { cause: error });
  }
}

async function read(response) {
  if (response.status === 401 && location.pathname !== `${ROOT}/sign-in`) {
    location.assign(`${ROOT}/sign-in?next=${encodeURIComponent(location.pathname + location.search + location.hash)}`);
  }
  if (response.status === 204) {
    return null;
  }
  const isJson = (response.headers.get("Content-Type") ?? "").includes("json");
  const document = isJson ? await response.json() : {};
  if (!response.ok) {
    throw new ProblemError(response.status, document);
  }
  return document;
}
