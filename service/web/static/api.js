// Reading the REST API.

export async function get(path) {
  const response = await fetch(`/api/v1${path}`, { headers: { Accept: "application/json" } });
  const document = await response.json();
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
