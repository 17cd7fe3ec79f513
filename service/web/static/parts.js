// Parts that pages share: choices, terms with what they mean, tables that scroll, and values above their intervals.
import { element } from "./dom.js";

// Return a select with its label.
//   options: `[value, text]` of each.
//   chosen: is called with the value that was chosen.
export function choice(label, options, value, chosen) {
  const select = element("select", { "data-key": label }, ...optionsOf(options, value));
  select.addEventListener("change", () => chosen(select.value));
  return element("label", {}, label, select);
}

// Return the options of a select, of which one is chosen.
export function optionsOf(options, value) {
  return options.map(([key, text]) => element("option", { value: key, selected: key === value }, text));
}

// Return what a list of facts holds: `[name, parts]` of each, where the parts are one or several texts and elements.
export function terms(facts) {
  return facts.flatMap(([name, parts]) => [element("dt", {}, name), element("dd", {}, ...[parts].flat())]);
}

// Return a place that scrolls by itself, also by key, where what is in it is wider than the page.
export function scrolled(label, ...children) {
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, ...children);
}

// Return a table.
//   heads: of its columns, texts or elements.
//   rows: elements.
export function tableOf(heads, rows, { caption = null, kind = null } = {}) {
  const cells = heads.map((head) => (head instanceof Node ? head : element("th", { scope: "col" }, head)));
  return element(
    "table",
    { class: kind },
    caption === null ? null : element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...cells)),
    element("tbody", {}, ...rows),
  );
}

// Return the head of a column of texts.
export function textHead(text) {
  return element("th", { scope: "col", class: "text" }, text);
}

// Return a cell with a value and below it what it rests on; lines that are null or empty are left out.
export function valueCell(attributes, value, ...lines) {
  return element("td", attributes, ...[value].flat(), ...lines.filter(Boolean).map((line) => element("span", { class: "interval" }, line)));
}
