// Calling the REST API.

const { root: ROOT = "", csrfToken } = document.documentElement.dataset;
export { ROOT };

export async function get(path) {
  return read(await fetch(`${ROOT}/api/v1${path}`, { headers: { Accept: "application/json" } }));
}

// Send what changes something; the path is one of the server, not of the API alone.
export async function send(method, path, body = undefined) {
  const headers = { Accept: "application/json" };
  if (csrfToken !== undefined) {
    headers["X-CSRF-Token"] = csrfToken;
  }
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
  }
  return read(await fetch(`${ROOT}${path}`, { method, headers, body: JSON.stringify(body) }));
}

async function read(response) {
  if (response.status === 401 && location.pathname !== `${ROOT}/sign-in`) {
    location.assign(`${ROOT}/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  const document = response.status === 204 ? null : await response.json();
  if (!response.ok) {
    throw new Error(document.detail ?? response.statusText);
  }
  return document;
}

// Make an element; strings become text and never markup.
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

export function nDone(progress) {
  return progress.completed + progress.diverged + progress.timed_out + progress.failed;
}

export function when(time) {
  return time === null ? "–" : new Date(time).toLocaleString();
}
