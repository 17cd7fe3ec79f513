// Figures that a page makes itself of what the API told it, with downloads like those that the API draws.
import { actionButton, element } from "./dom.js";
import { draw, framed, heard, saveImage } from "./figures.js";

const FILES = ["svg", "png", "csv"];
const KEPT_MS = 60_000; // a file that is being saved

// Return `{card, show}` of a figure: its element, and the function that draws it, now or anew, from
// `{title, figure, rows, note}`, where rows are objects that say what is drawn.
//   file: what its downloads are called, without an ending.
//   clicked: is called with Plotly's point when one clicks at it.
export function pageFigure(file, clicked = null) {
  let shown = null;
  const save = (format) => (format === "csv" ? saveText(csvOf(shown.rows), `${file}.csv`) : saveImage(shown.figure, shown.title, file, format));
  const buttons = FILES.map((format) => actionButton(format, () => save(format), { class: "link", "data-key": format }));
  const { card, place, note, entitle } = framed("", buttons);
  async function show(next) {
    shown = next;
    entitle(shown.title);
    note.textContent = shown.note ?? "";
    try {
      await draw(place, shown.figure);
      heard(place, clicked);
    } catch (error) {
      note.textContent = error.message;
    }
  }
  return { card, show };
}

function saveText(text, file) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  element("a", { href: url, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(url), KEPT_MS);
}

// Rows as csv; a text that a spreadsheet would take for a formula gets an apostrophe, as those of the API do.
function csvOf(rows) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
  return lines.map((values) => `${values.map(field).join(",")}\n`).join("");
}

function field(value) {
  if (typeof value !== "string") {
    return value ?? "";
  }
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
