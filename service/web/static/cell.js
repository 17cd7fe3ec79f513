// A cell in a dialog: its hyperparameters, how each seed ended, and the learning curves of all seeds.
import { get, withQuery } from "./api.js";
import { byId, element } from "./dom.js";
import { cellCurves } from "./cell-curves.js";
import { duration, number, placeText } from "./format.js";
import { scrolled, tableOf, terms } from "./parts.js";
import { onState, parameters, setParameters } from "./url.js";

const MAX_SEEDS = 500;
let jobId = null;
let openedAs = null;

// Have the cell that the URL names opened, now and whenever it names another.
export function cellDialog(id) {
  jobId = id;
  onState(follow);
  follow();
}

function follow() {
  const wanted = parameters("cell");
  const name = wanted.join("\n");
  if (name === (openedAs ?? "")) {
    return;
  }
  const before = byId("cell");
  before?.close(); // which gives the focus back
  before?.remove();
  openedAs = null;
  if (wanted.length >= 2) {
    openedAs = name;
    open(wanted);
  }
}

async function open([task, optimizer, ...at]) {
  const content = element("div", {}, element("p", { class: "note" }, "Loading …"));
  const dialog = element(
    "dialog",
    { id: "cell", class: "wide", "aria-labelledby": "cell-title" },
    element("form", { method: "dialog", class: "close" }, element("button", { autofocus: true }, "Close")),
    element("h2", { id: "cell-title" }, `${optimizer} on ${task}`),
    element("dl", { class: "facts" }, ...terms(at.map((place) => place.split("=")))),
    content,
  );
  dialog.addEventListener("close", () => closed(dialog));
  document.body.append(dialog);
  dialog.showModal();
  try {
    const { items } = await get(withQuery(`/jobs/${jobId}/records`, { task, optimizer, at, curves: true, page_size: MAX_SEEDS }));
    items.sort((one, other) => one.seed - other.seed);
    content.replaceChildren(...(items.length ? found(items, `${optimizer} on ${task} ${placeText(at)}`.trim()) : [element("p", {}, "No run of this cell is recorded yet.")]));
  } catch (error) {
    content.replaceChildren(element("p", { class: "error" }, error.message));
  }
}

// The event comes later: by then another cell may be open.
function closed(dialog) {
  if (byId("cell") !== dialog) {
    return;
  }
  dialog.remove();
  openedAs = null;
  if (parameters("cell").length) {
    setParameters({ cell: null }, { push: true });
  }
}

function found(records, name) {
  return [
    scrolled("Runs", runsTable(records)),
    element("h3", {}, "Learning curves"),
    cellCurves(records, name, `${jobId}-cell`),
  ];
}

function runsTable(records) {
  const columns = columnsOf(records);
  const heads = ["Seed", ...columns.map(([title, , kind]) => element("th", { scope: "col", class: kind }, title))];
  const body = records.map((record) => {
    const cells = columns.map(([, text, kind]) => element("td", { class: kind }, text(record)));
    return element("tr", {}, element("th", { scope: "row" }, String(record.seed)), ...cells);
  });
  return tableOf(heads, body);
}

// The columns of runs: their titles, what they say of a record, and their class. What scores comes first.
function columnsOf(records) {
  const names = [...new Set(records.flatMap(({ metrics }) => Object.keys(metrics)))].sort();
  const isScore = (name) => /^(test|val)_/.test(name) && !name.endsWith("_loss");
  const ofMetric = (name) => [name.replaceAll("_", " "), ({ metrics }) => number(metrics[name], 4), null];
  return [
    ["Ended", endText, "text"],
    ...names.filter(isScore).map(ofMetric),
    ["Diverged at step", (record) => record.diverged_at_step?.toLocaleString() ?? "–", null],
    ["Gradient norm", ({ diagnostics }) => number(diagnostics.grad_norm), null],
    ["Perturbation / ρ", ({ diagnostics }) => number(diagnostics.delta_over_rho), null],
    ["Steps", ({ cost }) => cost.steps.toLocaleString(), null],
    ["Gradients", ({ cost }) => cost.gradient_evaluations.toLocaleString(), null],
    ["Took", ({ cost }) => `${duration(cost.elapsed_s)}${cost.amortised ? ", a share" : ""}`, null],
    ...names.filter((name) => !isScore(name)).map(ofMetric),
    ...(records.some(({ error }) => error) ? [["Error", (record) => record.error ?? "–", "text wrap"]] : []),
  ];
}

function endText({ collapsed, status, reused }) {
  return `${collapsed ? "collapsed" : status.replace("_", " ")}${reused ? ", reused" : ""}`;
}
