// The page of a schedule: what its runs measured over time, where that changed, and every run with its verdict.
import { get, ROOT, withQuery } from "./api.js";
import { byId, element, replaceKeeping, say, sayLoaded } from "./dom.js";
import { age, when } from "./format.js";
import { historyFigure, historyRows, labelsOf } from "./history.js";
import { rowKeys } from "./keys.js";
import { pageFigure } from "./page-figures.js";
import { choice, terms } from "./parts.js";
import { followRuns } from "./runs.js";
import { comparisonOf, nextRun, outcome, policyText, scheduleActions, timing } from "./scheduling.js";
import { onState, parameter, setParameters } from "./url.js";
import { amount, definitions, titleOf } from "./verdicts.js";

const N_RUNS = 100; // that are drawn and listed at a time
const N_ALERTS = 200;
const USUAL = "grid_mean";
const { scheduleId: id, scheduleName: name } = byId("schedule").dataset;
const table = byId("runs");
const drawn = pageFigure(`${name}-history`, ({ customdata: runId }) => location.assign(comparisonOf(name, { id: runId })));
let turns = 0;

async function show() {
  const turn = ++turns;
  const path = `/schedules/${id}`;
  try {
    const found = await Promise.all([
      get(path),
      get(withQuery(`${path}/history`, { page_size: N_RUNS, page_token: parameter("page") })),
      get(withQuery("/alerts", { schedule: id, page_size: N_ALERTS })),
      definitions(),
    ]);
    if (turn === turns) {
      await render(...found);
    }
  } catch (error) {
    say(`Cannot show this schedule: ${error.message}`, { isError: true });
  }
}

async function render(schedule, history, alerts, known) {
  sayLoaded();
  showFacts(schedule, alerts);
  showRuns(history);
  await showHistory([...history.items].reverse(), history.change_points, alerts.items, known);
}

function showFacts(schedule, alerts) {
  replaceKeeping(
    byId("actions"),
    scheduleActions(schedule, (changed) => (changed === null ? location.assign(`${ROOT}/schedules`) : show())),
  );
  const link = withQuery("/alerts", { schedule: schedule.name });
  const facts = {
    when: timing(schedule),
    "next run": [nextRun(schedule)],
    "compared with": [policyText(schedule.baseline)],
    "alarm beyond": [
      schedule.thresholds.factor === null ? "the margins of the baseline" : `${schedule.thresholds.factor} yardsticks`,
    ],
    measures: [
      schedule.thresholds.measures === null ? "all that can be judged" : schedule.thresholds.measures.join(", "),
    ],
    "cells a run": [String(schedule.cells)],
    alerts: [
      element("a", { href: `${ROOT}${link}` }, `${alerts.counts.open} open`),
      `, ${alerts.counts.acknowledged} acknowledged, ${alerts.counts.closed} closed`,
    ],
  };
  byId("facts").replaceChildren(...terms(Object.entries(facts)));
}

async function showHistory(runs, points, alerts, known) {
  const { tasks, task, optimizers, measures } = labelsOf(runs, parameter("task"));
  const section = byId("history");
  if (task === undefined) {
    section.replaceChildren(
      element("p", { class: "note" }, "No run has been measured yet: the figure begins with the first one that ends."),
    );
    return;
  }
  const measure = measures.includes(parameter("measure")) ? parameter("measure") : USUAL;
  const optimizer = optimizers.includes(parameter("optimizer")) ? parameter("optimizer") : null;
  const chosen = { task, measure, optimizers: optimizer === null ? optimizers : [optimizer] };
  const numbered = (points ?? []).map((point, index) => ({ ...point, number: index + 1 }));
  const isShown = (one) => one.task === task && chosen.optimizers.includes(one.optimizer);
  const isDrawn = (point) =>
    runs.some((run) => run.id === point.run_id) && point.changes.some((one) => isShown(one) && one.measure === measure);
  const drawnPoints = numbered.filter(isDrawn);
  replaceKeeping(
    section,
    element(
      "div",
      { class: "filters" },
      choice("Task", tasks.map((one) => [one, one]), task, keep("task")),
      choice("Measure", measures.map((one) => [one, titleOf(one, known)]), measure, keep("measure")),
      choice("Optimizer", [["", "all"], ...optimizers.map((one) => [one, one])], optimizer ?? "", keep("optimizer")),
    ),
    drawn.card,
    ...(points === null ? [] : changes(numbered, drawnPoints, known)),
  );
  await drawn.show({
    title: `${titleOf(measure, known)} on ${task} over the runs of ${name}`,
    figure: historyFigure(runs, chosen, drawnPoints, alerts.filter(isShown), known),
    rows: historyRows(runs, chosen),
    note: `${known[measure]?.definition ?? ""} The table below has every run.`,
  });
}

function keep(name) {
  return (value) => setParameters({ [name]: value }, { push: true });
}

function changes(points, drawn, known) {
  if (points.length === 0) {
    return [
      element("p", { class: "note" }, "No measure has gone to another level and stayed there for two runs or more."),
    ];
  }
  const items = points.map((point) => changeItem(point, drawn.includes(point), known));
  return [element("h3", {}, "Changes of level"), element("ol", { class: "changes" }, ...items)];
}

function changeItem(point, isDrawn, known) {
  const run = element("a", { href: comparisonOf(name, { id: point.run_id }) }, when(point.due_at));
  const groups = Map.groupBy(point.changes, (one) => JSON.stringify([one.worse, one.optimizer, one.task]));
  const what = [...groups.values()].map((group) => element("li", {}, ...levelTexts(group, known)));
  const made = Object.keys(point.differs).map((key) =>
    element("li", {}, `${key}: ${word(point.differs[key])} → ${word(point.made_by?.[key])}`),
  );
  return element(
    "li",
    {},
    "From the run of ",
    run,
    " on",
    isDrawn ? "" : " (of measures that are not drawn)",
    ":",
    element("ul", {}, ...what),
    element(
      "p",
      { class: "note" },
      made.length
        ? "Made otherwise than the run before:"
        : "Nothing that is known of how it was made differs from the run before.",
    ),
    element("ul", {}, ...made),
  );
}

function word(value) {
  return value === null || value === undefined ? "none" : [value].flat().join(", ");
}

// What became of the measures of one optimizer on one task that went the same way.
function levelTexts(changed, known) {
  const [{ task, optimizer, worse }] = changed;
  const mark = worse
    ? element("span", { class: "regressed" }, "▼ worse")
    : element("span", { class: "improved" }, "▲ better");
  const texts = changed.map(({ measure, before, after }) => {
    const { unit = "score" } = known[measure] ?? {};
    return `${titleOf(measure, known)} ${amount(before, unit)} → ${amount(after, unit)}`;
  });
  return [mark, ` ${optimizer} on ${task}: ${texts.join(", ")}`];
}

function showRuns({ items, next_page_token: next }) {
  table.hidden = items.length === 0;
  table.tBodies[0].replaceChildren(...items.map(runRow));
  byId("no-runs").hidden = items.length > 0;
  const links = [
    parameter("page") ? { text: "Newest runs", page: null } : null,
    next ? { text: "Older runs", page: next } : null,
  ];
  byId("paging").replaceChildren(
    ...links
      .filter(Boolean)
      .map(({ text, page }) =>
        element("button", { type: "button", click: () => setParameters({ page }, { push: true }) }, text),
      ),
  );
}

function runRow(run) {
  const due = element("time", { datetime: run.due_at, title: `started ${when(run.started_at)}` }, when(run.due_at));
  const notes = [
    run.manual ? "asked for by hand" : null,
    run.n_missed ? `stands for ${run.n_missed} missed before it too` : null,
    run.reason,
  ];
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, due, element("span", { class: "interval" }, age(run.due_at))),
    element("td", { class: "text" }, outcome(run)),
    element(
      "td",
      { class: "text" },
      run.verdict === null ? "–" : element("a", { href: comparisonOf(name, run) }, "comparison"),
    ),
    element("td", { class: "text" }, jobLink(run.job_id, "job")),
    element("td", { class: "text" }, jobLink(run.baseline.job_id, run.baseline.name ?? "job")),
    element("td", { class: "text wrap" }, notes.filter(Boolean).join("; ")),
  );
}

function jobLink(jobId, text) {
  return jobId === null
    ? element("span", { title: "there is none, or it was deleted" }, "–")
    : element("a", { href: `${ROOT}/jobs/${jobId}` }, `${text} ${text === "job" ? jobId : ""}`.trim());
}

rowKeys(table);
onState(show);
await show();
followRuns((one) => one === name, show);
