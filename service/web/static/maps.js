// The heat maps of a job, one figure a task on shared colours and axes, and their cells as a table.
import { byId, element, replaceKeeping } from "./dom.js";
import { cellTable } from "./cell-table.js";
import { figureCard, whenSeen } from "./figures.js";
import { choice } from "./parts.js";
import { onState, parameter, parameters, setParameters } from "./url.js";

let shown = null;
let shownAs = null;
let cards = [];

// Show the maps of what the URL chooses; those that are there are asked for anew.
export function showMaps(job, table) {
  const isFirst = shown === null;
  shown = { job, table };
  if (isFirst || choiceText() !== shownAs) {
    make();
  } else {
    cards.forEach((card) => card.refresh?.());
  }
}

// The parameters of figures that the URL chooses: a task, or none for all or the first, and optimizers.
export function chosen() {
  return { task: parameter("task"), optimizer: parameters("optimizer") };
}

// Open the cell that a point of a heat map stands for.
export function openPoint({ data, customdata }) {
  if (data.meta?.optimizer !== undefined && customdata !== undefined) {
    setParameters({ cell: [data.meta.task, data.meta.optimizer, ...customdata] }, { push: true });
  }
}

function choiceText() {
  const { task, optimizer } = chosen();
  return JSON.stringify([task, optimizer]);
}

function make() {
  const { job, table } = shown;
  shownAs = choiceText();
  showChoices(table);
  const tasks = table.tasks.map(({ task }) => task).filter((task) => [null, task].includes(parameter("task")));
  cards = [];
  byId("maps").replaceChildren(...tasks.map((task) => waiting(job, task)));
}

// A place that makes its card when somebody looks at it: of many tasks most are never looked at.
function waiting(job, task) {
  const place = element("div", { class: "waiting" });
  whenSeen(place, () => {
    const cells = cellTable(task);
    const parts = { task, optimizer: parameters("optimizer") };
    const card = figureCard(`Score of ${task} over the hyperparameters`, `/jobs/${job.id}/figures/heatmap`, parts, { clicked: openPoint, told: cells.show });
    cards.push(card);
    place.replaceChildren(card, cells.place);
    place.classList.remove("waiting");
  });
  return place;
}

function showChoices(table) {
  const tasks = table.tasks.map(({ task }) => task);
  const optimizers = [...new Set(table.rows.map(({ optimizer }) => optimizer))];
  const parts = [];
  if (tasks.length > 1) {
    const options = [["", "all"], ...tasks.map((task) => [task, task])];
    parts.push(choice("Task", options, parameter("task", ""), (task) => setParameters({ task }, { push: true })));
  }
  if (optimizers.length > 1) {
    parts.push(optimizerBoxes(optimizers));
  }
  replaceKeeping(byId("shown"), ...parts);
}

function optimizerBoxes(optimizers) {
  const wanted = new Set(parameters("optimizer"));
  const boxes = optimizers.map((optimizer) => {
    const box = element("input", { type: "checkbox", value: optimizer, "data-key": `optimizer ${optimizer}` });
    box.checked = wanted.size === 0 || wanted.has(optimizer);
    box.addEventListener("change", () => {
      const checked = boxes.map((label) => label.querySelector("input")).filter((one) => one.checked).map((one) => one.value);
      setParameters({ optimizer: checked.length === optimizers.length ? null : checked }, { push: true });
    });
    return element("label", {}, box, " ", optimizer);
  });
  return element("fieldset", { class: "boxes" }, element("legend", {}, "Optimizers in figures"), ...boxes);
}

onState(() => {
  if (shown !== null && choiceText() !== shownAs) {
    make();
  }
});
