// The robustness tables of a job, one a task: sorted, in a view, with what they must say beside their numbers.
import { get, ROOT, withQuery } from "./api.js";
import { byId, element, replaceKeeping } from "./dom.js";
import { comparisons } from "./pairs.js";
import { choice } from "./parts.js";
import { columnsChoice, robustnessTable, SEEN, tableDownloads } from "./robustness-table.js";
import { onState, parameter, setParameters } from "./url.js";
import { definitions } from "./verdicts.js";

const VIEWS = [
  ["", "as the budgets hold"],
  ["equal_steps", "equal steps"],
  ["equal_gradient_evaluations", "equal gradient evaluations"],
  ["equal_seconds", "equal seconds"],
];
let shown = null;
let measures = null; // as the API defines them
let askedView = null;
let paintedAs = null;
let turns = 0;

// Read the table of a job and show it; resolves to it, or to null where there is none to show.
export async function showTable(job) {
  const turn = ++turns;
  askedView = parameter("view", "");
  shown = { job, table: shown?.table ?? null };
  showChoices(job);
  const path = withQuery(`/jobs/${job.id}/table`, { view: askedView });
  const quiet = setTimeout(() => note(`Computing the table of ${job.progress.total.toLocaleString()} cells …`), 400);
  try {
    const [table, known] = await Promise.all([get(path), definitions()]);
    measures = known.listed;
    if (turn === turns) {
      shown = { job, table };
      paint();
    }
    return table;
  } catch (error) {
    if (turn === turns) {
      shown = { job, table: null };
      byId("tables").replaceChildren(element("p", { class: "error" }, error.message));
    }
    return askedView === "" ? null : get(`/jobs/${job.id}/table`).catch(() => null);
  } finally {
    clearTimeout(quiet);
  }
}

function note(text) {
  if (shown.table === null) {
    byId("tables").replaceChildren(element("p", { class: "note" }, text));
  }
}

function showChoices(job) {
  const view = choice("View", VIEWS, askedView, (view) => setParameters({ view }, { push: true }));
  const path = (format) => withQuery(`/jobs/${job.id}/table`, { view: parameter("view"), format });
  replaceKeeping(byId("table-choices"), view, columnsChoice(), ...tableDownloads(path, `${job.id}-table`));
}

function asSeen() {
  return ["task", ...SEEN].map((name) => parameter(name)).join("\n");
}

function paint() {
  const { job, table } = shown;
  paintedAs = asSeen();
  const tasks = table.tasks.filter(({ task }) => [null, task].includes(parameter("task")));
  replaceKeeping(byId("tables"), ...(tasks.length ? tasks : table.tasks).map((task) => taskSection(job, table, task)));
}

function taskSection(job, table, task) {
  const rows = table.rows.filter((row) => row.task === task.task);
  const { caption, notes } = table.captions.find((one) => one.task === task.task);
  const title = `${task.task}: ${task.metric} (${task.goal === "maximize" ? "higher" : "lower"} is better)`;
  return element(
    "section",
    { "aria-label": task.task, "data-key": task.task },
    element("h3", {}, title),
    table.complete ? null : element("p", { class: "undecided" }, `Incomplete: ${table.missing.count.toLocaleString()} cells have no result.`),
    robustnessTable(task.task, rows, measures),
    element("p", { class: "note caption" }, caption.join(" ")),
    notesList(job, rows, notes),
    ...comparisons(table, task, measures),
  );
}

function notesList(job, rows, notes) {
  const atBorder = rows.some((row) => row.best?.borders.some(({ values }) => values.length));
  const extend = element("a", { href: `${ROOT}/submit?extend=${job.id}` }, "Extend this job");
  const items = notes.map((text) => element("li", {}, text));
  return element("ul", { class: "remarks" }, ...items, atBorder ? element("li", {}, "A best configuration lies on the border of its grid. ", extend, ".") : null);
}

onState(() => {
  if (shown === null) {
    return;
  }
  if (parameter("view", "") !== askedView) {
    showTable(shown.job);
  } else if (shown.table !== null && paintedAs !== asSeen()) {
    showChoices(shown.job);
    paint();
  }
});
