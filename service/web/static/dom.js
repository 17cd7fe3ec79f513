// Making elements. Strings become text and never markup: what is stored may hold anything.

const FOCUSED = "a[href], button:enabled, select:enabled, input:enabled, summary, [tabindex='0']";

// Attributes whose value is null, undefined or false are left out; true makes an empty one; a function listens.
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      node.addEventListener(key, value);
    } else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(key, value === true ? "" : value);
    }
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

export function byId(id) {
  return document.getElementById(id);
}

// Say something in the place that screen readers watch; without text the place is empty and takes no room.
export function say(text, { isError = false } = {}) {
  const place = byId("message");
  place.textContent = text;
  place.classList.toggle("error", isError);
}

// What was being loaded is there: the place is emptied, unless something else has been said meanwhile.
export function sayLoaded() {
  const place = byId("message");
  if (place.textContent === "Loading …" || place.classList.contains("error")) {
    say("");
  }
}

// Put other children in a place. What has a `data-key` among its siblings keeps the focus, and stays open if it was.
export function replaceKeeping(place, ...children) {
  const active = document.activeElement;
  const focused = place !== active && place.contains(active) ? keyOf(active, place) : null;
  const folds = new Map([...place.querySelectorAll("details[data-key]")].map((one) => [keyOf(one, place), one.open]));
  place.replaceChildren(...children);
  for (const one of place.querySelectorAll("details[data-key]")) {
    one.open = folds.get(keyOf(one, place)) ?? one.open;
  }
  if (focused !== null) {
    focusOn([...place.querySelectorAll("[data-key]")].find((one) => keyOf(one, place) === focused), place);
  }
}

// Return the keys from a place down to a node.
function keyOf(node, place) {
  const keys = [];
  for (let one = node; one !== place; one = one.parentElement) {
    if (one.dataset.key !== undefined) {
      keys.unshift(one.dataset.key);
    }
  }
  return keys.join("\n");
}

// Focus a node, or the next best where it cannot have the focus or is gone.
function focusOn(node, place) {
  for (const one of [node, node?.querySelector(FOCUSED), place.querySelector(FOCUSED)]) {
    one?.focus({ preventScroll: true });
    if (place.contains(document.activeElement)) {
      return;
    }
  }
}

// A button that waits for what it does; a fault is said and not thrown.
export function actionButton(text, action, attributes = {}) {
  const button = element("button", { type: "button", ...attributes }, text);
  button.addEventListener("click", async () => {
    if (button.ariaDisabled === "true") {
      return;
    }
    button.ariaDisabled = "true"; // a button that is disabled loses the focus
    try {
      await action();
    } catch (error) {
      say(error.message, { isError: true });
    } finally {
      button.ariaDisabled = null;
    }
  });
  return button;
}

// Ask before something that cannot be taken back; resolves to whether it is wanted.
export function confirmed(question, verb) {
  return new Promise((resolve) => {
    const dialog = element(
      "dialog",
      { class: "ask", "aria-label": verb },
      element("p", {}, question),
      element(
        "form",
        { method: "dialog", class: "actions" },
        element("button", { value: "no" }, "Back"),
        element("button", { value: "yes", class: "main" }, verb),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// Put text into the clipboard and say so; where a page may not (no https), the text is shown to be copied by hand.
export async function copyText(text, name) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied ${name}.`);
  } catch {
    const area = element("textarea", { rows: 12, readonly: true, "aria-label": name }, text);
    const close = element("form", { method: "dialog" }, element("button", {}, "Close"));
    const dialog = element("dialog", { class: "wide" }, element("p", {}, "This page may not write to the clipboard; copy it here."), area, close);
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    area.select();
  }
}
