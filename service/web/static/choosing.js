// Choosing what to compare: jobs by their boxes, a baseline and a candidate by name.
import { get, ROOT, withQuery } from "./api.js";
import { byId, element, say } from "./dom.js";
import { age, when } from "./format.js";
import { onState, parameter, parameters, setParameters } from "./url.js";

const N_SHOWN = 8;
const MAX_JOBS = 20; // of a table, as the server has it
const WAIT_MS = 250;
const NOTHING_ELSE = {
  baseline: null,
  candidate: null,
  schedule: null,
  run: null,
  optimizer: null,
  task: null,
  sort: null,
};
const form = byId("verdict");
const search = byId("search");
const known = new Map(); // jobs that were seen, by id
let turns = 0;
let waiting = null;

// Fill the choice, and have it follow the URL.
export async function showChoice() {
  search.value = parameter("text", "");
  search.addEventListener("input", () => later(() => setParameters({ text: search.value })));
  form.addEventListener("submit", compare);
  form.elements.candidate.addEventListener("input", () => later(() => suggest(form.elements.candidate.value)));
  form.elements.baseline.addEventListener("input", () => later(() => suggest(form.elements.baseline.value)));
  onState(show);
  await Promise.all([show(), suggest("")]);
}

function later(action) {
  clearTimeout(waiting);
  waiting = setTimeout(action, WAIT_MS);
}

async function show() {
  const turn = ++turns;
  for (const name of ["baseline", "candidate"]) {
    form.elements[name].value = parameter(name, form.elements[name].value);
  }
  try {
    const found = await listed(parameter("text", ""));
    const chosen = await Promise.all(parameters("job").map(jobOf));
    if (turn === turns) {
      showJobs(chosen.filter(Boolean), found);
    }
  } catch (error) {
    say(`The jobs cannot be listed: ${error.message}`, { isError: true });
  }
}

async function listed(text) {
  const { items } = await get(withQuery("/jobs", { text, page_size: N_SHOWN }));
  for (const job of items) {
    known.set(job.id, job);
  }
  return items;
}

async function jobOf(id) {
  if (!known.has(id)) {
    known.set(id, await get(`/jobs/${encodeURIComponent(id)}`).catch(() => null));
  }
  return known.get(id);
}

// Chosen jobs come first, also those that are not found.
function showJobs(chosen, found) {
  const ids = new Set(chosen.map((job) => job.id));
  const jobs = [...chosen, ...found.filter((job) => !ids.has(job.id))];
  const focused = document.activeElement?.closest?.("#candidates tr")?.dataset.jobId;
  byId("candidates").tBodies[0].replaceChildren(...jobs.map((job) => row(job, ids)));
  byId("candidates").querySelector(`tr[data-job-id="${focused}"] input`)?.focus();
  byId("no-jobs").hidden = jobs.length > 0;
  byId("no-jobs").textContent = parameter("text") ? "No job is called so." : "There is no job yet; submit one first.";
}

function row(job, ids) {
  const box = element("input", { type: "checkbox", "aria-label": `Choose ${job.name} (${job.id})` });
  box.checked = ids.has(job.id);
  box.disabled = !box.checked && ids.size >= MAX_JOBS;
  box.addEventListener("change", () => choose(job.id, box.checked));
  return element(
    "tr",
    { "data-job-id": job.id },
    element("th", { scope: "row" }, element("label", {}, box, " ", job.name)),
    element("td", { class: "text" }, element("a", { href: `${ROOT}/jobs/${job.id}` }, job.id)),
    element("td", { class: `text ${job.state}` }, job.state),
    element(
      "td",
      { class: "text" },
      element("time", { datetime: job.created_at, title: when(job.created_at) }, age(job.created_at)),
    ),
  );
}

function choose(id, isChosen) {
  const rest = parameters("job").filter((one) => one !== id);
  setParameters({ ...NOTHING_ELSE, job: isChosen ? [...rest, id] : rest }, { push: true });
}

function compare(event) {
  event.preventDefault();
  const { baseline, candidate } = Object.fromEntries(new FormData(form));
  setParameters({ ...NOTHING_ELSE, job: null, baseline: baseline.trim(), candidate: candidate.trim() }, { push: true });
}

async function suggest(text) {
  try {
    const [baselines, jobs] = await Promise.all([get("/baselines?page_size=500"), listed(text)]);
    const ofJobs = () =>
      jobs.map((job) => element("option", { value: job.id }, `${job.name}, ${job.state}, ${age(job.created_at)}`));
    const named = baselines.items.map((one) => element("option", { value: one.name }, `baseline, job ${one.job_name}`));
    byId("baseline-names").replaceChildren(...named, ...ofJobs());
    byId("candidate-names").replaceChildren(...ofJobs());
  } catch (error) {
    say(`Nothing can be suggested: ${error.message}`, { isError: true });
  }
}
