// The learning curves of a cell: a line a seed, one series at a time.
import { element } from "./dom.js";
import { escaped } from "./format.js";
import { pageFigure } from "./page-figures.js";
import { choice } from "./parts.js";

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#111111"];
const DASHES = ["solid", "dash", "dot", "dashdot"];

// Return an element with the curves of records, which draws itself.
//   name: of the cell.
//   file: what its downloads are called, without an ending.
export function cellCurves(records, name, file) {
  const kept = records.filter(({ curve }) => curve?.step?.length);
  if (kept.length === 0) {
    return element("p", { class: "note" }, "Its runs kept no curves.");
  }
  const series = [...new Set(kept.flatMap(({ curve }) => Object.keys(curve)))].filter((one) => one !== "step");
  const first = series.find((one) => one.startsWith("test_") && !one.includes("loss")) ?? series[0];
  const { card, show } = pageFigure(file);
  const draw = (shown) => {
    const none = kept.filter(({ curve }) => !(curve[shown] ?? []).some((value) => value !== null));
    show({
      title: `${shown.replaceAll("_", " ")} of each seed, ${name}`,
      figure: figureOf(kept, shown),
      rows: kept.flatMap((record) => rowsOf(record, series)),
      note: none.length ? `Without a finite value of it: seed ${none.map(({ seed }) => seed).join(", ")}.` : "",
    });
  };
  requestAnimationFrame(() => draw(first));
  const select = choice("Series", series.map((one) => [one, one.replaceAll("_", " ")]), first, draw);
  return element("div", {}, element("div", { class: "filters" }, select), card);
}

// A row an evaluation, with every series.
function rowsOf({ task, optimizer, hyperparameters, seed, status, curve }, series) {
  return curve.step.map((step, place) => {
    const values = Object.fromEntries(series.map((name) => [name, curve[name]?.[place] ?? null]));
    return { task, optimizer, ...hyperparameters, seed, status, step, ...values };
  });
}

function figureOf(records, name) {
  const axis = { showline: true, linecolor: "#111111", zeroline: false, showgrid: false, ticks: "outside" };
  return {
    data: records.flatMap((record, index) => traces(record, index, name)),
    layout: {
      height: 340,
      margin: { l: 60, r: 20, t: 20, b: 80 },
      font: { color: "#111111" },
      xaxis: { ...axis, title: { text: "step" } },
      yaxis: { ...axis, title: { text: escaped(name.replaceAll("_", " ")) } },
      showlegend: true,
      legend: { orientation: "h", x: 0, y: -0.25 },
    },
  };
}

// A line a seed; a cross where a run left for infinity, at its last finite value if it had one.
function traces({ seed, status, diverged_at_step: divergedAt, curve }, index, name) {
  const values = curve[name] ?? [];
  const x = curve.step.slice(0, values.length);
  const colour = COLOURS[index % COLOURS.length];
  const label = `seed ${seed}${status === "completed" ? "" : `, ${status.replace("_", " ")}`}`;
  const dash = DASHES[Math.floor(index / COLOURS.length) % DASHES.length];
  const line = { x, y: values, mode: x.length > 1 ? "lines" : "markers", name: label, line: { color: colour, dash, width: 2 }, marker: { color: colour } };
  if (divergedAt === null) {
    return [line];
  }
  const last = values.findLast((value) => value !== null) ?? null;
  const cross = { x: [divergedAt], y: [last], mode: "markers", marker: { symbol: "x", size: 10, color: colour }, showlegend: false, hovertemplate: `seed ${seed} diverged at step ${divergedAt}<extra></extra>` };
  return [{ ...line, x: [...x, divergedAt], y: [...values, null] }, cross];
}
