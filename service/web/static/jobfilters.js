// The filters of the list of jobs: a form that says what the URL says, and the other way round.
import { get } from "./api.js";
import { byId, element } from "./dom.js";
import { parameter, parameters, setParameters } from "./url.js";

const TYPING_MS = 250;
const form = byId("filters");
const TEXTS = ["text", "task", "submitted_by"];

// What the URL asks of the API.
export function readFilters() {
  return {
    text: parameter("text"),
    state: parameters("state"),
    tag: parameters("tag"),
    task: parameter("task"),
    submitted_by: parameter("submitted_by"),
    sort: parameter("sort"),
  };
}

// Show in the form what the URL says; a field in which somebody types stays as it is.
export function showFilters() {
  const filters = readFilters();
  for (const name of TEXTS) {
    setValue(form.elements[name], filters[name] ?? "");
  }
  setValue(form.elements.tag, filters.tag.join(", "));
  form.elements.sort.value = filters.sort ?? "-created_at";
  for (const box of form.querySelectorAll("[name=state]")) {
    box.checked = filters.state.includes(box.value);
  }
}

function setValue(field, value) {
  if (field !== document.activeElement) {
    field.value = value;
  }
}

export function watchFilters() {
  let typing = null;
  form.addEventListener("input", (event) => {
    clearTimeout(typing);
    if (event.target.type === "checkbox" || event.target.name === "sort") {
      apply({ push: true });
    } else {
      typing = setTimeout(apply, TYPING_MS);
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    apply({ push: true });
  });
  byId("clear").addEventListener("click", () => {
    form.reset();
    apply({ push: true });
  });
  form.elements.task.addEventListener("focus", offerTasks, { once: true });
}

function apply({ push = false } = {}) {
  const given = new FormData(form);
  const sort = given.get("sort");
  const tags = given.get("tag").split(",").map((tag) => tag.trim()).filter(Boolean);
  const texts = Object.fromEntries(TEXTS.map((name) => [name, given.get(name).trim()]));
  setParameters({ ...texts, tag: tags, state: given.getAll("state"), sort: sort === "-created_at" ? null : sort, after: null }, { push });
}

async function offerTasks() {
  const tasks = await get("/tasks").catch(() => []); // one can type a name all the same
  byId("tasks").replaceChildren(...tasks.map((task) => element("option", { value: task.name }, task.title)));
}
