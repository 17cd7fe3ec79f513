// The text of a spec with the numbers of its lines, and each error beside the line that caused it.
import { byId, element } from "./dom.js";

const MIN_LINES = 12;
const area = byId("text");
const gutter = byId("gutter");
const notes = byId("notes");
let faulty = new Set();

export function text() {
  return area.value;
}

// Replace the text; undone by nobody, so it is done only when asked for.
export function setText(value) {
  area.value = value;
  showErrors([]);
}

// Have a function called whenever somebody edits.
export function onEdit(listener) {
  area.addEventListener("input", () => {
    showLines();
    listener();
  });
  area.addEventListener("drop", async (event) => {
    const file = event.dataTransfer?.files[0];
    if (file !== undefined) {
      event.preventDefault();
      setText(await file.text());
      listener();
    }
  });
}

// Show errors beside their lines, those of the whole spec first. They are `{pointer, detail, line}`.
export function showErrors(errors) {
  faulty = new Set(errors.map((error) => error.line).filter((line) => line !== null));
  const ordered = [...errors].sort((one, other) => (one.line ?? 0) - (other.line ?? 0));
  notes.replaceChildren(...ordered.map(noteOf));
  byId("editor").classList.toggle("has-errors", errors.length > 0);
  area.setAttribute("aria-invalid", String(errors.length > 0));
  area.setAttribute("aria-describedby", ["spec-note", ...ordered.map((_, place) => `error-${place}`)].join(" "));
  showLines();
  placeNotes();
}

function noteOf(error, place) {
  const where = error.line === null ? error.pointer || "the spec" : `Line ${error.line}`;
  const button = element("button", { type: "button", id: `error-${place}`, class: "error" }, element("b", {}, where), ` ${error.detail}`);
  button.addEventListener("click", () => select(error.line));
  return element("li", { "data-line": error.line ?? 1 }, button);
}

function select(line) {
  const before = area.value.split("\n").slice(0, (line ?? 1) - 1).join("\n");
  const start = before.length + (line > 1 ? 1 : 0);
  const end = area.value.indexOf("\n", start);
  area.focus();
  area.setSelectionRange(start, line === null ? start : end < 0 ? area.value.length : end);
}

function showLines() {
  const n = Math.max(MIN_LINES, area.value.split("\n").length);
  area.rows = n;
  gutter.replaceChildren(
    ...Array.from({ length: n }, (_, place) =>
      element("span", { class: faulty.has(place + 1) ? "error" : null }, `${faulty.has(place + 1) ? "! " : ""}${place + 1}`),
    ),
  );
}

// Where there is room beside the text each note stands at its line, as high as there is room above the next one; whole
// while one points at it.
function placeNotes() {
  const isBeside = getComputedStyle(notes).position === "relative";
  const height = gutter.firstElementChild?.getBoundingClientRect().height ?? 0;
  const tops = [];
  for (const note of notes.children) {
    tops.push(Math.max((note.dataset.line - 1) * height, (tops.at(-1) ?? -height) + height));
  }
  [...notes.children].forEach((note, place) => {
    note.style.top = isBeside ? `${tops[place]}px` : "";
    note.style.setProperty("--room", isBeside && place + 1 < tops.length ? `${tops[place + 1] - tops[place]}px` : "none");
  });
  notes.style.minHeight = isBeside && tops.length ? `${tops.at(-1) + notes.lastElementChild.getBoundingClientRect().height}px` : "";
}

new ResizeObserver(placeNotes).observe(byId("editor"));
showLines();
