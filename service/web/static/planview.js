// A plan: what a spec takes, before anything is run.
import { element } from "./dom.js";
import { duration } from "./format.js";
import { scrolled, tableOf, terms, textHead } from "./parts.js";

//   before: cells of the job that is extended, if it is one.
export function planView(plan, before = null) {
  const known = plan.reused === null ? [] : [`, ${plan.reused.toLocaleString()} of them reused`];
  const facts = {
    ...(before === null ? {} : { "new cells": (plan.cells - before).toLocaleString() }),
    cells: [plan.cells.toLocaleString(), ...known],
    "gradient evaluations": plan.gradient_evaluations.toLocaleString(),
    packs: plan.packs === null ? "–" : plan.packs.toLocaleString(),
    "estimated time": plan.estimated_s === null ? "–" : plan.cells === plan.reused ? "nothing to train" : duration(plan.estimated_s),
  };
  const list = element("dl", {}, ...terms(Object.entries(facts)));
  const why = plan.reason === null ? [] : [element("p", { class: "note" }, `Not all is known: ${plan.reason}`)];
  return [list, ...why, gridTable(plan)];
}

function gridTable(plan) {
  const heads = [textHead("task"), textHead("optimizer"), "configurations", "cells", "gradient evaluations", textHead("trained")];
  const rows = plan.grids.map((grid) =>
    element(
      "tr",
      {},
      element("th", { scope: "row", class: "text" }, grid.task),
      element("td", { class: "text" }, grid.optimizer),
      ...[grid.configurations, grid.cells, grid.gradient_evaluations].map((n) => element("td", {}, n.toLocaleString())),
      element("td", { class: "text" }, howTrained(plan, grid)),
    ),
  );
  return scrolled("Plan by task and optimizer", tableOf(heads, rows));
}

function howTrained(plan, grid) {
  const way = plan.execution?.[grid.task]?.[grid.optimizer];
  const words = way === "fused" ? "many cells at once" : way === "sequential" ? "one cell after another" : "–";
  return grid.wave > 1 ? `${words}, in wave ${grid.wave}` : words;
}
