// Keys: one list of what they do, which `?` shows. They can be turned off, for whoever speaks to the browser (WCAG 2.1.4).
import { ROOT } from "./api.js";
import { byId, element } from "./dom.js";

const SETTING = "keys";
const PREFIX_MS = 1_500;
const shortcuts = new Map();
let prefix = "";

// Have a key, or two in a row such as "g j", do something on this page.
export function shortcut(keys, description, action) {
  shortcuts.set(keys, { description, action });
}

// Let j and k move the focus along the rows of a table, whose first link is what Enter opens.
export function rowKeys(table) {
  const move = (step) => {
    const links = [...table.tBodies].flatMap((body) => [...body.rows]).map((row) => row.querySelector("a, button")).filter(Boolean);
    const place = links.indexOf(document.activeElement?.closest("tr")?.querySelector("a, button"));
    links[Math.min(links.length - 1, Math.max(0, place + step))]?.focus();
  };
  shortcut("j", "next row", () => move(1));
  shortcut("k", "row before", () => move(-1));
}

function areOn() {
  return localStorage.getItem(SETTING) !== "off";
}

function showKeys() {
  byId("keys")?.remove();
  const toggle = element("input", { type: "checkbox", id: "keys-on" });
  toggle.checked = areOn();
  toggle.addEventListener("change", () => localStorage.setItem(SETTING, toggle.checked ? "on" : "off"));
  const rows = [...shortcuts].map(([keys, { description }]) =>
    element("tr", {}, element("th", { scope: "row" }, ...keys.split(" ").map((key) => element("kbd", {}, key))), element("td", {}, description)),
  );
  const dialog = element(
    "dialog",
    { id: "keys", "aria-labelledby": "keys-title" },
    element("h2", { id: "keys-title" }, "Keys"),
    element("table", { class: "plain" }, element("tbody", {}, ...rows)),
    element("p", {}, toggle, " ", element("label", { for: "keys-on" }, "single keys do this; Tab and Enter always work")),
    element("form", { method: "dialog" }, element("button", {}, "Close")),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function pressed(event) {
  const isTyping = event.target.closest?.("input, select, textarea, [contenteditable], dialog");
  if (isTyping || event.ctrlKey || event.altKey || event.metaKey || (!areOn() && event.key !== "?")) {
    return;
  }
  const keys = prefix ? `${prefix} ${event.key}` : event.key;
  prefix = "";
  const found = shortcuts.get(keys);
  if (found !== undefined) {
    event.preventDefault();
    found.action();
  } else if ([...shortcuts.keys()].some((one) => one.startsWith(`${event.key} `))) {
    prefix = event.key;
    setTimeout(() => { prefix = ""; }, PREFIX_MS);
  }
}

function goTo(path) {
  return () => location.assign(`${ROOT}${path}`);
}

shortcut("?", "these keys", showKeys);
shortcut("/", "search on this page", () => document.querySelector("input[type=search]")?.focus());
shortcut("g j", "go to the jobs", goTo("/"));
shortcut("g n", "go to a new job", goTo("/submit"));
shortcut("g c", "go to comparisons", goTo("/compare"));
shortcut("g s", "go to the schedules", goTo("/schedules"));
shortcut("g a", "go to the alerts", goTo("/alerts"));
document.addEventListener("keydown", pressed);
byId("show-keys").addEventListener("click", showKeys);
