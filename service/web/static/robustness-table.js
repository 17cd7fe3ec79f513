// A robustness table: sorted and in the columns that the URL asks for, with what a number rests on beside it.
import { getText, ROOT } from "./api.js";
import { actionButton, copyText, element } from "./dom.js";
import { hyperparametersText } from "./format.js";
import { measureTexts, plain } from "./measures.js";
import { choice, scrolled, valueCell } from "./parts.js";
import { parameter, setParameters } from "./url.js";

const PANELS = {
  robustness: ["best", "grid_mean", "p10", "expected_best_4", "good_share", "rho_width_max", "diverged_rate", "collapsed_rate"],
  details: ["iqm", "worst", "expected_best_16", "rho_width_mean", "variance_rho", "variance_lr", "variance_interaction"],
  diagnostics: ["grad_norm", "delta_over_rho", "gradient_evaluations", "elapsed_s"],
};
const COLUMNS = [["robustness", "Robustness"], ["details", "Details"], ["diagnostics", "Diagnostics, sharpness"], ["all", "All"]];
const COPIES = [["md", "Markdown"], ["tex", "LaTeX"]];
const FILES = ["csv", "parquet", "json"];
const LEADS = "better than each other ranked row: the intervals of the paired differences exclude zero";
export const SEEN = ["sort", "columns"]; // parameters that say how a table looks

// Return the table of the rows of one task.
//   known: the measures, as the API defines them.
//   opensCells: whether a best configuration is a button that opens its cell.
export function robustnessTable(task, rows, known, { opensCells = true } = {}) {
  const columns = columnsOf(rows, known);
  const body = sorted(rows).map((row) => tableRow(row, columns, opensCells));
  const table = element("table", { class: "robustness" }, element("thead", {}, headRow(columns)), element("tbody", {}, ...body));
  return scrolled(`Robustness on ${task}`, table);
}

// Return the choice of columns.
export function columnsChoice() {
  const keep = (value) => setParameters({ columns: value === "robustness" ? null : value }, { push: true });
  return choice("Columns", COLUMNS, parameter("columns", "robustness"), keep);
}

// Return what takes a table elsewhere: buttons that copy it, and links to its files.
//   path: of the API, by the format.
//   file: what they are called, without an ending.
export function tableDownloads(path, file) {
  const copies = COPIES.map(([format, name]) =>
    actionButton(`Copy as ${name}`, async () => copyText(await getText(path(format)), `the table as ${name}`), { "data-key": format }),
  );
  const links = FILES.map((format) => element("a", { href: `${ROOT}/api/v1${path(format)}`, download: `${file}.${format}`, "data-key": format }, format));
  return [...copies, element("span", { class: "downloads" }, ...links)];
}

// Which measures are shown: those of the chosen columns that some row has.
function columnsOf(rows, known) {
  const panel = parameter("columns", "robustness");
  const listed = new Set(Object.values(PANELS).flat());
  const sharpness = known.map(({ name }) => name).filter((name) => name.startsWith("sharpness_"));
  const wanted = { ...PANELS, diagnostics: [...PANELS.diagnostics, ...sharpness] }[panel];
  const names = wanted ?? [...listed, ...known.map(({ name }) => name).filter((name) => !listed.has(name))];
  const found = names.filter((name) => rows.some((row) => (row.measures[name]?.value ?? null) !== null));
  return (found.length ? found : ["best", "grid_mean"]).map((name) => known.find((one) => one.name === name));
}

function headRow(columns) {
  const heads = [["optimizer", "Optimizer", "Label in the spec"], ["rank", "Rank", "By grid mean; in brackets the ranks that are not ruled out"]];
  const measured = columns.map(({ name, title, definition, direction }) => [name, title, definition, direction]);
  const all = [...heads, ...measured, [null, "Best at", "The configuration with the best validation mean"]];
  return element("tr", {}, ...all.map((column) => headCell(...column)));
}

function headCell(name, title, definition, direction = null) {
  if (name === null) {
    return element("th", { scope: "col", class: "text", title: definition }, title);
  }
  const [by, isDown] = sorting();
  const order = by === name ? (isDown ? "descending" : "ascending") : null;
  const button = element("button", { type: "button", class: "sort", title: definition, "data-sort": name, "data-key": name }, title);
  button.addEventListener("click", () => {
    const next = order === null ? (direction === "higher" ? `-${name}` : name) : isDown ? name : `-${name}`;
    setParameters({ sort: next === "rank" ? null : next }, { push: true });
    if (document.activeElement === document.body) {
      document.querySelector(`button.sort[data-sort="${name}"]`)?.focus();
    }
  });
  return element("th", { scope: "col", "aria-sort": order }, button);
}

function sorting() {
  const sort = parameter("sort", "rank");
  return sort.startsWith("-") ? [sort.slice(1), true] : [sort, false];
}

// Rows in the chosen order; those without a value are last whichever way it goes.
function sorted(rows) {
  const [by, isDown] = sorting();
  const value = (row) => (by === "optimizer" ? row.optimizer : by === "rank" ? row.rank?.value : row.measures[by]?.value) ?? null;
  const compared = (one, other) => (typeof one === "string" ? one.localeCompare(other) : one - other);
  const known = rows.filter((row) => value(row) !== null);
  known.sort((one, other) => (isDown ? -1 : 1) * compared(value(one), value(other)));
  return [...known, ...rows.filter((row) => value(row) === null)];
}

function tableRow(row, columns, opensCells) {
  const reason = row.ranked ? null : element("span", { class: "interval wrap" }, `not ranked: ${row.grid.reason}`);
  return element(
    "tr",
    { class: row.ranked ? null : "unranked" },
    element("th", { scope: "row" }, row.optimizer, reason),
    rankCell(row.rank),
    ...columns.map(({ name, unit }) => measureCell(row.measures[name], unit)),
    element("td", { class: "text" }, bestAt(row, opensCells)),
  );
}

function rankCell(rank) {
  if (rank === null) {
    return valueCell({}, "–");
  }
  return valueCell({}, String(rank.value), rank.low < rank.high ? `${rank.low} to ${rank.high}` : null);
}

function measureCell(measure, unit) {
  const { value, interval } = measureTexts(measure, unit);
  const leads = measure?.flags.includes("leads") ?? false;
  const raw = unit === "score" && measure?.raw !== null && measure !== undefined ? `raw ${plain(measure.raw)}` : null;
  const title = [raw, measure?.reason].filter(Boolean).join("; ") || null;
  const star = leads ? element("abbr", { class: "star", title: LEADS }, "★ ") : null;
  return valueCell({ class: leads ? "leads" : null, title }, [star, value], interval);
}

// The best configuration, and where the grid should go on beyond it.
function bestAt(row, opensCells) {
  if (row.best === null) {
    return "–";
  }
  const { hyperparameters, borders } = row.best;
  const cell = [row.task, row.optimizer, ...Object.entries(hyperparameters).map(([name, value]) => `${name}=${value}`)];
  const text = hyperparametersText(hyperparameters) || "its only one";
  const open = () => setParameters({ cell }, { push: true });
  const flag = borders.length ? element("span", { class: "interval undecided" }, `on the border: ${borders.map(({ axis, end }) => `${axis} ${end}`).join(", ")}`) : null;
  return [opensCells ? element("button", { type: "button", class: "link", "data-key": `best of ${row.optimizer}`, click: open }, text) : text, flag];
}
