// The history of a schedule as a figure: a measure over time, a line an optimizer, with every run a point, where levels
// changed, and while alerts lasted. A run without a value stands as a cross at the foot.
import { escaped } from "./format.js";
import { amount, titleOf } from "./verdicts.js";

// Of Okabe and Ito, told apart by the colour-blind, each dark and light enough for both themes.
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a07800", "#3a9bd9"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "star"];
const FAINT = "rgba(128, 128, 128, 0.25)";
const ALERT = "rgba(200, 60, 60, 0.13)";

// Return what the runs measured: labels of tasks, and of optimizers and measures on one of them.
export function labelsOf(runs, task) {
  const measured = runs.filter((run) => run.measures !== null);
  const tasks = [...new Set(measured.flatMap((run) => Object.keys(run.measures)))];
  const shown = tasks.includes(task) ? task : tasks[0];
  const rows = measured.map((run) => run.measures[shown] ?? {});
  const optimizers = [...new Set(rows.flatMap(Object.keys))];
  const measures = [...new Set(rows.flatMap((row) => Object.values(row).flatMap(Object.keys)))];
  return { tasks, task: shown, optimizers, measures };
}

// Return `{data, layout}` for Plotly.
//   runs: oldest first.
//   chosen: `{task, measure, optimizers}`.
//   points: change points of these, numbered.
//   alerts: of these.
export function historyFigure(runs, chosen, points, alerts, known) {
  const { unit = "score" } = known[chosen.measure] ?? {};
  const lines = chosen.optimizers.map((optimizer, place) => line(runs, chosen, optimizer, place, unit));
  const bands = alerts.map((alert) => ({ alert, ...lasting(alert, runs) })).filter(({ x0 }) => x0 !== null);
  const layout = {
    margin: { l: 60, r: 20, t: 30, b: 60 },
    height: 380,
    font: { color: "#111111" }, // of paper, as those of the API: the theme changes it
    hovermode: "closest",
    legend: { orientation: "h", y: -0.15 },
    xaxis: { type: "date", gridcolor: FAINT, linecolor: FAINT },
    yaxis: {
      title: { text: yTitle(chosen.measure, known) },
      gridcolor: FAINT,
      zerolinecolor: FAINT,
      tickformat: unit === "share" ? ".0%" : null,
    },
    yaxis2: { overlaying: "y", range: [0, 1], visible: false, fixedrange: true },
    shapes: [...bands.map(band), ...points.map(levelLine)],
    annotations: [...bands.map(bandLabel), ...points.map(levelLabel)],
  };
  return { data: [...lines, ...without(runs, chosen)], layout };
}

// Return what is drawn: a row an optimizer and run, oldest first.
export function historyRows(runs, chosen) {
  const { task, measure, optimizers } = chosen;
  return runs.flatMap((run) =>
    optimizers.map((optimizer) => ({
      due_at: run.due_at,
      run: run.id,
      job: run.job_id,
      verdict: run.verdict,
      task,
      optimizer,
      measure,
      value: valueOf(run, chosen, optimizer),
    })),
  );
}

function yTitle(name, known) {
  const units = { score: "normalised score", share: "share", decades: "decades", seconds: "seconds" };
  return `${escaped(titleOf(name, known))} (${units[known[name]?.unit] ?? known[name]?.unit ?? ""})`;
}

function valueOf(run, { task, measure }, optimizer) {
  return run.measures?.[task]?.[optimizer]?.[measure] ?? null;
}

function line(runs, chosen, optimizer, place, unit) {
  const values = runs.map((run) => valueOf(run, chosen, optimizer));
  const texts = runs.map(
    (run, index) =>
      `${escaped(optimizer)}: ${amount(values[index], unit)}<br>${new Date(run.due_at).toLocaleString()}<br>the run: ${run.verdict ?? "no verdict"}`,
  );
  const colour = COLOURS[place % COLOURS.length];
  const style = place + Math.floor(place / COLOURS.length); // with the same colour comes another one
  return {
    type: "scatter",
    mode: "lines+markers",
    name: escaped(optimizer),
    x: runs.map((run) => local(run.due_at)),
    y: values,
    customdata: runs.map((run) => run.id),
    text: texts,
    hovertemplate: "%{text}<extra></extra>",
    line: { color: colour, dash: DASHES[style % DASHES.length], width: 1.5 },
    marker: { color: colour, size: 7, symbol: SYMBOLS[style % SYMBOLS.length] },
  };
}

// Runs that measured nothing of what is shown stay visible.
function without(runs, chosen) {
  const lacking = runs.filter(
    (run) =>
      run.state !== "training" && chosen.optimizers.every((optimizer) => valueOf(run, chosen, optimizer) === null),
  );
  if (lacking.length === 0) {
    return [];
  }
  return [
    {
      type: "scatter",
      mode: "markers",
      name: "no value",
      yaxis: "y2",
      x: lacking.map((run) => local(run.due_at)),
      y: lacking.map(() => 0.03),
      customdata: lacking.map((run) => run.id),
      text: lacking.map(
        (run) =>
          `${escaped(run.reason ?? "not defined, or cells lack a result")}<br>${new Date(run.due_at).toLocaleString()}`,
      ),
      hovertemplate: "%{text}<extra></extra>",
      marker: { symbol: "x-thin-open", size: 9, color: "#888888", line: { width: 2 } },
    },
  ];
}

function levelLine(point) {
  const x = local(point.due_at);
  return {
    type: "line",
    x0: x,
    x1: x,
    yref: "paper",
    y0: 0,
    y1: 1,
    line: { color: "#888888", dash: "dash", width: 1.5 },
  };
}

function levelLabel(point) {
  return {
    x: local(point.due_at),
    yref: "paper",
    y: 1,
    yanchor: "bottom",
    text: `change ${point.number}`,
    showarrow: false,
    font: { size: 11 },
  };
}

function band({ x0, x1 }) {
  return { type: "rect", x0, x1, yref: "paper", y0: 0, y1: 1, fillcolor: ALERT, line: { width: 0 }, layer: "below" };
}

function bandLabel({ alert, x0 }) {
  return {
    x: x0,
    yref: "paper",
    y: 0,
    yanchor: "bottom",
    xanchor: "left",
    text: `▼ alert: ${escaped(alert.optimizer)}`,
    showarrow: false,
    font: { size: 11 },
  };
}

// From which run to which an alert lasted, as far as these runs show it; x0 is null where they show nothing of it.
function lasting(alert, runs) {
  const first = runs.find((run) => run.id === alert.first_run_id);
  const last = runs.find((run) => run.id === alert.last_run_id);
  if (first === undefined && last === undefined) {
    return { x0: null, x1: null };
  }
  const end = alert.state === "closed" ? last : null;
  return { x0: local((first ?? runs[0]).due_at), x1: local((end ?? runs.at(-1)).due_at) };
}

// Plotly takes times as they are written: those of the reader's zone are written in it.
function local(time) {
  const date = new Date(time);
  return new Date(date - 60_000 * date.getTimezoneOffset()).toISOString().slice(0, 19);
}
