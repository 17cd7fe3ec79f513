// The cells of a heat map as a table: what the map shows for whoever does not see it, and a way into each cell by key.
import { element } from "./dom.js";
import { number, placeText } from "./format.js";
import { scrolled, tableOf, textHead } from "./parts.js";
import { setParameters } from "./url.js";

const STEP = 50; // rows that come at once

// Return the place of the table, and the function that takes the figure.
export function cellTable(task) {
  const more = element("button", { type: "button", hidden: true }, "More cells");
  const caption = "Best first; a name opens the cell with its runs and curves.";
  const table = tableOf(["Cell", "Optimizer", "Score", "Seeds"].map(textHead), [], { caption });
  const [body] = table.tBodies;
  const region = scrolled(`Cells of ${task}`, table);
  const place = element("details", { class: "beside" }, element("summary", {}, `Cells of ${task} as a table`), region, more);
  let cells = [];
  const add = () => {
    const next = cells.slice(body.rows.length, body.rows.length + STEP);
    body.append(...next.map((cell) => row(task, cell)));
    more.hidden = body.rows.length >= cells.length;
  };
  more.addEventListener("click", add);
  place.addEventListener("toggle", () => place.open && body.rows.length === 0 && add());
  return {
    place,
    show(figure) {
      cells = cellsOf(figure);
      body.replaceChildren();
      more.hidden = true;
      if (place.open) {
        add();
      }
    },
  };
}

function row(task, { optimizer, at, score, text }) {
  const button = element("button", { type: "button", class: "link" }, placeText(at) || "its only one");
  button.addEventListener("click", () => setParameters({ cell: [task, optimizer, ...at] }, { push: true }));
  const seeds = text.split("<br>").filter((line) => line.startsWith("seed ") || line.startsWith("and "));
  return element(
    "tr",
    {},
    element("th", { scope: "row", class: "text" }, button),
    element("td", { class: "text" }, optimizer),
    element("td", { class: "text" }, number(score, 4)),
    element("td", { class: "text" }, seeds.join("; ") || "–"),
  );
}

// Return the cells of a figure, best first; those without a result last.
function cellsOf({ data, layout }) {
  const cells = data.filter(({ customdata }) => customdata !== undefined).flatMap((trace) => {
    const flat = (values) => (trace.type === "heatmap" ? values.flat() : values);
    const scores = trace.type === "heatmap" ? trace.z.flat() : trace.marker.color;
    const places = flat(trace.customdata);
    const texts = flat(trace.text);
    return places.map((at, index) => ({ optimizer: trace.meta.optimizer, at, text: texts[index], score: typeof scores[index] === "number" ? scores[index] : null }));
  });
  const sign = layout.coloraxis?.reversescale ? 1 : -1;
  return cells.sort((one, other) => (one.score === null) - (other.score === null) || sign * (one.score - other.score));
}
