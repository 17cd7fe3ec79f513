// Jobs or optimizers side by side: one table, the paired differences between its rows, and maps of where they lie.
import { withQuery } from "./api.js";
import { element, replaceKeeping } from "./dom.js";
import { figureCard } from "./figures.js";
import { pairsTable } from "./pairs.js";
import { choice } from "./parts.js";
import { columnsChoice, robustnessTable, tableDownloads } from "./robustness-table.js";
import { onState, parameter, parameters, setParameters } from "./url.js";

let current = null; // shows anew the comparison that the page has now

// Return the elements that show a table side by side.
//   table: of one job, or of several apart.
//   jobs: their ids.
//   measures: as the API defines them.
export function sideBySide(table, jobs, measures) {
  const source = jobs.length === 1 ? { path: `/jobs/${jobs[0]}`, shared: {} } : { path: "", shared: { job: jobs } };
  const parts = element("div", {});
  const kept = { key: null, card: null };
  const show = () => {
    if (parts.isConnected || parts.childElementCount === 0) {
      replaceKeeping(parts, ...sections(table, source, measures, kept));
    }
  };
  if (current === null) {
    onState(() => current());
  }
  current = show;
  show();
  return [parts];
}

function sections(table, source, measures, kept) {
  const labels = [...new Set(table.rows.map((row) => row.optimizer))];
  const chosen = parameters("optimizer").filter((label) => labels.includes(label));
  const task = table.tasks.find((one) => one.task === parameter("task")) ?? table.tasks[0];
  const rows = table.rows.filter(
    (row) => row.task === task.task && (chosen.length < 2 || chosen.includes(row.optimizer)),
  );
  const { caption, notes } = table.captions.find((one) => one.task === task.task);
  return [
    rowsChoice(labels, chosen),
    element("div", { class: "filters" }, ...tools(table, task, source)),
    robustnessTable(task.task, rows, measures, { opensCells: false }),
    element("p", { class: "note caption" }, caption.join(" ")),
    element(
      "details",
      { "data-key": "notes" },
      element("summary", {}, `${notes.length} notes`),
      element("ul", { class: "remarks" }, ...notes.map((text) => element("li", {}, text))),
    ),
    ...differences(table, task, chosen, measures),
    ...maps(source, task.task, chosen, labels, kept),
  ];
}

// Which rows are compared: all, or the chosen ones in the order in which they were chosen.
function rowsChoice(labels, chosen) {
  const boxes = labels.map((label) => {
    const box = element("input", { type: "checkbox", "data-key": `row ${label}` });
    box.checked = chosen.includes(label);
    box.addEventListener("change", () => {
      const rest = chosen.filter((one) => one !== label);
      setParameters({ optimizer: box.checked ? [...rest, label] : rest }, { push: true });
    });
    return element("label", {}, box, ` ${label}`);
  });
  return element("fieldset", { class: "boxes" }, element("legend", {}, "Compare only"), ...boxes);
}

function tools(table, task, { path, shared }) {
  const tasks = table.tasks.map((one) => [one.task, one.task]);
  const pick = (value) => setParameters({ task: value }, { push: true });
  const file = (format) =>
    path ? withQuery(`${path}/table`, { format }) : withQuery("/tables", { ...shared, apart: true, format });
  return [
    table.tasks.length > 1 ? choice("Task", tasks, task.task, pick) : null,
    columnsChoice(),
    ...tableDownloads(file, "table"),
  ];
}

function differences(table, task, chosen, measures) {
  const own = (list) => list.filter((one) => one.task === task.task && isAmong(one, chosen));
  const turned = own(table.differences).map((one) => inOrder(one, chosen, turnedDifference));
  const wins = own(table.wins).map((one) => inOrder(one, chosen, turnedWins));
  const shown = pairsTable(turned, wins, task, measures, { isOpen: true });
  const why = "No two of these rows can be compared: the table says why each is not ranked.";
  return [element("h2", { id: "differences" }, "Paired differences"), shown ?? element("p", { class: "note" }, why)];
}

function isAmong({ first, second }, chosen) {
  return chosen.length < 2 || (chosen.includes(first) && chosen.includes(second));
}

// The API takes the better row first; where somebody chose an order, that one holds.
function inOrder(one, chosen, turned) {
  const isTurned = chosen.length >= 2 && chosen.indexOf(one.first) > chosen.indexOf(one.second);
  return isTurned ? { ...one, ...turned(one), first: one.second, second: one.first } : one;
}

function turnedDifference({ value, raw, low, high }) {
  const minus = (end) => (end === null ? null : -end);
  return { value: -value, raw: -raw, low: minus(high), high: minus(low) };
}

function turnedWins({ share, low, high }) {
  const rest = (end) => (end === null ? null : 1 - end);
  return { share: 1 - share, low: rest(high), high: rest(low) };
}

// Maps between the chosen rows; else of each optimizer between the jobs, where every row has one to stand against.
//   kept: the card that is there, and what it is of; whoever sorts the table has it stay.
function maps({ path, shared }, task, chosen, labels, kept) {
  const isPaired = labels.every((label) => label.includes("@"));
  const rows = chosen.length >= 2 ? chosen : isPaired || path ? [] : labels;
  const of = { ...shared, task, optimizer: rows };
  const key = JSON.stringify(of);
  if (key !== kept.key) {
    Object.assign(kept, { key, card: figureCard(`Differences on ${task}`, `${path}/figures/difference`, of) });
  }
  return [element("h2", {}, "Where the differences lie"), kept.card];
}
