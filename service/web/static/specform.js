// A form that writes a spec: tasks, optimizers, axes, seeds, budget. Whatever else a spec can say is written by hand.
import { element } from "./dom.js";
import { axisField } from "./axisfield.js";
import { hyperparameterFields, labelled, numberOf, options } from "./fields.js";
import { specText } from "./yaml.js";

const CHOSEN_TASK = "digits-mlp";
const CHOSEN = ["gd", "sam", "msam"];
const AXES = { lr: { scale: "log", low: 0.01, high: 1, n: 5 }, rho: { scale: "log", low: 0.03, high: 1, n: 4 } };

// Return `{element, text()}` of a form over what the server knows; `written` is called with each new text.
export function specForm({ tasks, optimizers, bases }, written) {
  const name = element("input", { name: "name", value: "new-job", maxlength: 200, required: true });
  const tags = element("input", { name: "tags", placeholder: "nightly, main" });
  const taskBoxes = tasks.map((task) => choice("tasks", task, task.name === CHOSEN_TASK));
  const rules = optimizers.map((one) => optimizerChoice(one, CHOSEN.includes(one.name)));
  const base = baseField(bases);
  const axes = Object.entries(AXES).map(([axis, values]) => axisField(axis, values));
  const search = element("select", { name: "method" }, ...options(["grid", "random", "sobol", "tpe"]));
  const points = element("input", { name: "n_configurations", type: "number", min: 1, value: 64 });
  const unit = element("select", { name: "unit", "aria-label": "Unit of the budget" }, ...options(["epochs", "gradient_evaluations"], ["epochs", "gradient evaluations"]));
  const amount = element("input", { name: "amount", type: "number", min: 1, value: 10 });
  const batch = element("input", { name: "batch_size", type: "number", min: 1, value: 64 });
  const count = element("input", { name: "count", type: "number", min: 1, value: 5 });
  const first = element("input", { name: "base_seed", type: "number", min: 0, value: 0 });

  function document() {
    const isGrid = search.value === "grid";
    const space = Object.fromEntries(axes.map((axis) => [axis.name, axis.value({ isGrid })]).filter(([, value]) => value !== null));
    const words = tags.value.split(",").map((tag) => tag.trim()).filter(Boolean);
    return {
      schema_version: 1,
      name: name.value,
      ...(words.length ? { tags: words } : {}),
      tasks: taskBoxes.filter((box) => box.input.checked).map((box) => ({ name: box.input.value })),
      budget: { [unit.value]: numberOf(amount), batch_size: numberOf(batch) },
      base: base.value(),
      optimizers: rules.filter((rule) => rule.input.checked).map((rule) => rule.value()),
      space,
      ...(isGrid ? {} : { search: { method: search.value, n_configurations: numberOf(points) } }),
      seeds: { count: numberOf(count), ...(numberOf(first) ? { base: numberOf(first) } : {}) },
    };
  }

  const pointsLabel = labelled("Configurations of each optimizer", points);
  const form = element(
    "form",
    { "aria-label": "Spec" },
    element("div", { class: "filters" }, labelled("Name", name), labelled("Tags", tags)),
    group("Tasks", ...taskBoxes.map((box) => box.element)),
    group("Optimizers", ...rules.map((rule) => rule.element)),
    group("Base optimizer", base.element),
    group("Swept", ...axes.map((axis) => axis.element), element("div", { class: "filters" }, labelled("Search", search), pointsLabel)),
    group("Budget and seeds", element("div", { class: "filters" }, labelled("Length", amount), labelled("of", unit), labelled("Batch size", batch), labelled("Seeds", count), labelled("First seed", first))),
  );
  const text = () => specText(document());
  const update = () => {
    pointsLabel.hidden = search.value === "grid";
    axes.forEach((axis) => axis.showCount(search.value === "grid"));
    written(text());
  };
  pointsLabel.hidden = true;
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  return { element: form, text };
}

function group(title, ...children) {
  return element("fieldset", {}, element("legend", {}, title), ...children);
}

function choice(name, { name: value, title }, isChosen) {
  const input = element("input", { type: "checkbox", name, value, id: `${name}-${value}` });
  input.checked = isChosen;
  const label = element("label", { for: input.id, title }, element("span", {}, value), " ", element("span", { class: "quiet" }, title));
  return { input, element: element("div", { class: "choice" }, input, label) };
}

// A rule with what it has beside the axes that are swept for all.
function optimizerChoice(optimizer, isChosen) {
  const found = choice("optimizers", optimizer, isChosen);
  const fields = hyperparameterFields(optimizer.hyperparameters.filter((one) => AXES[one.name] === undefined), optimizer.name);
  const more = element("div", { class: "filters more" }, ...fields.elements);
  const show = () => { more.hidden = !found.input.checked || fields.elements.length === 0; };
  found.input.addEventListener("change", show);
  show();
  found.element.append(more);
  return {
    ...found,
    value() {
      const fixed = fields.value();
      return { name: optimizer.name, ...(Object.keys(fixed).length ? { fixed } : {}) };
    },
  };
}

function baseField(bases) {
  const select = element("select", { name: "base" }, ...options(bases.map((one) => one.name)));
  select.value = "sgd";
  const place = element("div", { class: "filters" });
  let fields = null;
  const show = () => {
    const chosen = bases.find((one) => one.name === select.value);
    fields = hyperparameterFields(chosen.hyperparameters.filter((one) => AXES[one.name] === undefined), chosen.name);
    place.replaceChildren(labelled("Name", select), ...fields.elements);
  };
  select.addEventListener("change", show);
  show();
  return { element: place, value: () => ({ name: select.value, ...fields.value() }) };
}
