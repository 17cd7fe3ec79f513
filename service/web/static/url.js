// The state of a page is its URL: what is filtered, sorted, chosen and opened can be sent to somebody else as a link.

const listeners = new Set();

export function parameter(name, fallback = null) {
  return new URLSearchParams(location.search).get(name) ?? fallback;
}

export function parameters(name) {
  return new URLSearchParams(location.search).getAll(name);
}

// Change parameters: null takes one away, a list repeats it. A step that the back button should undo is pushed; typing
// in a field is not.
export function setParameters(changes, { push = false } = {}) {
  const url = addressWith(changes);
  if (url !== `${location.pathname}${location.search}${location.hash}`) {
    history[push ? "pushState" : "replaceState"](null, "", url);
  }
  tell();
}

// Return the address of the page with other parameters, as `setParameters` takes them.
export function addressWith(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    addTo(query, name, value);
  }
  return `${location.pathname}${query.size ? `?${query}` : ""}${location.hash}`;
}

// Add a parameter to a query: null, undefined and empty ones are left out, a list repeats it.
export function addTo(query, name, value) {
  for (const one of [value].flat()) {
    if (one !== null && one !== undefined && one !== "") {
      query.append(name, one);
    }
  }
}

// Have a function called whenever the state changes, by us or by the back button.
export function onState(listener) {
  listeners.add(listener);
}

function tell() {
  for (const listener of listeners) {
    listener();
  }
}

window.addEventListener("popstate", tell);
