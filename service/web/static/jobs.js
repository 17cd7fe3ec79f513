// The page with all jobs: filtered, sorted and paged by the URL, followed as they change, chosen for what is done to many.
import { get, MAY_CHANGE, MAY_NOT, ROOT, withQuery } from "./api.js";
import { actionButton, byId, element, say } from "./dom.js";
import { readFilters, showFilters, watchFilters } from "./jobfilters.js";
import { JobRow } from "./jobrow.js";
import { rowKeys, shortcut } from "./keys.js";
import { follow } from "./live.js";
import { fillScores } from "./scores.js";
import { BULK, steerAll, whyNot } from "./steering.js";
import { onState, parameters, setParameters } from "./url.js";

const PAGE_SIZE = 50;
const AGAIN_MS = 300;
const LOOK_MS = 30_000; // no event tells that an ended job was deleted, and ages grow
const MAX_COMPARED = 20;
const rows = new Map(); // of the page that is shown, by the id of the job
const chosen = new Map(); // also of pages that are not, as they were last seen
const tbody = byId("jobs").tBodies[0];
let shown = null; // the query whose page is shown
let newest = "";
let told = "Loading …"; // what is said until a page is there
let loading = null;
let again = null;

function query() {
  return { ...readFilters(), page_size: PAGE_SIZE, page_token: parameters("after").at(-1) };
}

async function load() {
  const path = withQuery("/jobs", query());
  loading?.abort();
  loading = new AbortController();
  const { signal } = loading;
  try {
    const page = await get(path, { signal });
    shown = path;
    showPage(page);
  } catch (error) {
    tell("The jobs cannot be shown", error);
    return;
  }
  fill([...rows.values()], signal);
}

async function fill(some, signal) {
  try {
    await fillScores(some, signal);
  } catch (error) {
    tell("The scores cannot be shown", error);
  }
}

function tell(what, error) {
  if (error.name !== "AbortError") {
    told = `${what}: ${error.message}`;
    say(told, { isError: true });
  }
}

function showPage({ items, next_page_token: next }) {
  const ids = new Set(items.map((job) => job.id));
  for (const [id, row] of rows) {
    if (!ids.has(id)) {
      row.element.remove();
      rows.delete(id);
    }
  }
  items.forEach((job, place) => {
    const row = rows.get(job.id) ?? newRow(job);
    row.update(job);
    // what stands where it should is not touched: it would lose the focus
    if (tbody.children[place] !== row.element) {
      tbody.insertBefore(row.element, tbody.children[place] ?? null);
    }
    newest = job.created_at > newest ? job.created_at : newest;
  });
  byId("list").hidden = items.length === 0;
  showEmpty(items.length === 0);
  showPages(items.length, next);
  showChosen();
  if (byId("message").textContent === told) {
    say("");
  }
}

function newRow(job) {
  const row = new JobRow(job, (isChosen) => choose(row.job, isChosen));
  row.box.checked = chosen.has(job.id);
  rows.set(job.id, row);
  return row;
}

function showEmpty(isEmpty) {
  const place = byId("empty");
  place.hidden = !isEmpty;
  const isFiltered = Object.entries(readFilters()).some(([name, value]) => name !== "sort" && value?.length);
  const words = isFiltered || parameters("after").length
    ? ["No job is like that. ", element("a", { href: `${ROOT}/` }, "Show all jobs")]
    : ["No job yet. ", element("a", { href: `${ROOT}/submit` }, "Submit one here"), ", or with ", element("code", {}, "rhobust submit examples/quickstart.yaml")];
  place.replaceChildren(element("p", {}, ...words));
}

// A token leads to the page behind it alone: the way back is the list of tokens that led here.
function showPages(n, next) {
  const tokens = parameters("after");
  const first = tokens.length * PAGE_SIZE;
  const go = (text, after, isThere) => {
    const button = element("button", { type: "button", disabled: !isThere, click: () => setParameters({ after }, { push: true }) }, text);
    return button;
  };
  byId("pages").hidden = tokens.length === 0 && next === null;
  byId("pages").replaceChildren(
    go("First", null, tokens.length > 0),
    go("Previous", tokens.slice(0, -1), tokens.length > 0),
    element("span", {}, n ? `${first + 1} to ${first + n}` : "none"),
    go("Next", [...tokens, next], next !== null),
  );
}

function choose(job, isChosen) {
  if (isChosen) {
    chosen.set(job.id, job);
  } else {
    chosen.delete(job.id);
  }
  showChosen();
}

function showChosen() {
  const place = byId("chosen");
  const all = byId("choose-all");
  const n = [...rows.keys()].filter((id) => chosen.has(id)).length;
  all.checked = rows.size > 0 && n === rows.size;
  all.indeterminate = n > 0 && n < rows.size;
  place.hidden = chosen.size === 0;
  const jobs = [...chosen.values()];
  const compare = jobs.length >= 2 && jobs.length <= MAX_COMPARED
    ? element("a", { class: "button", href: `${ROOT}${withQuery("/compare", { job: jobs.map((job) => job.id) })}` }, "Compare")
    : element("button", { type: "button", disabled: true, title: `choose 2 to ${MAX_COMPARED} jobs` }, "Compare");
  place.replaceChildren(
    element("span", {}, `${jobs.length} chosen`),
    compare,
    ...BULK.map((action) => bulkButton(action, jobs)),
    element("button", { type: "button", click: () => unchoose(jobs) }, "Choose none"),
    element("span", { class: "note" }, MAY_CHANGE ? "" : MAY_NOT),
  );
}

function bulkButton(action, jobs) {
  const able = jobs.filter((job) => whyNot(job, action) === null);
  const word = `${action[0].toUpperCase()}${action.slice(1)}`;
  const text = able.length && able.length < jobs.length ? `${word} ${able.length} of ${jobs.length}` : word;
  const button = actionButton(text, async () => {
    for (const [id, job] of await steerAll(able, action)) {
      if (job === null) {
        chosen.delete(id);
      } else {
        changed(job);
      }
    }
    showChosen();
    await load();
  });
  button.disabled = able.length === 0;
  button.title = able.length ? "" : whyNot(jobs[0] ?? { actions: [], requested: null, state: "" }, action);
  return button;
}

function unchoose(jobs) {
  for (const job of jobs) {
    chosen.delete(job.id);
    const row = rows.get(job.id);
    if (row) {
      row.box.checked = false;
    }
  }
  showChosen();
  byId("choose-all").focus();
}

// An event: a row changes where it is; a job that is new, or in another state, may belong to the first page by now.
//   isOther: whether more of the job has changed than its records.
function changed(job, { isOther = false } = {}) {
  if (chosen.has(job.id)) {
    chosen.set(job.id, job);
    showChosen();
  }
  const row = rows.get(job.id);
  if (row !== undefined) {
    row.update(job);
    fill([row], loading?.signal);
  } else if (((isOther && isByState()) || job.created_at > newest) && parameters("after").length === 0) {
    newest = job.created_at > newest ? job.created_at : newest;
    again ??= setTimeout(loadAgain, AGAIN_MS);
  }
}

// Whether another state may bring a job to the page. Where it may not, it is no news that whoever begins to follow is
// told of every job that has not ended.
function isByState() {
  const { state, sort } = readFilters();
  return state.length > 0 || (sort ?? "").includes("finished_at");
}

function loadAgain() {
  again = null;
  load();
}

function other(job) {
  changed(job, { isOther: true });
}

byId("choose-all").addEventListener("change", (event) => {
  const isChosen = event.target.checked; // which each choice may change
  for (const row of rows.values()) {
    row.box.checked = isChosen;
    choose(row.job, isChosen);
  }
});
shortcut("x", "choose the row", () => document.activeElement?.closest("tbody tr")?.querySelector("input[type=checkbox]")?.click());
shortcut("n", "next page", () => [...byId("pages").querySelectorAll("button")].at(-1)?.click());
shortcut("p", "page before", () => byId("pages").querySelectorAll("button")[1]?.click());
rowKeys(byId("jobs"));
watchFilters();
showFilters();
onState(() => {
  showFilters();
  if (withQuery("/jobs", query()) !== shown) {
    load();
  }
});
await load();
const live = follow("/events", { job: other, records: (job) => changed(job), end: other }, { onAgain: load });
setInterval(() => {
  rows.forEach((row) => row.showAge());
  if (live.isLive()) {
    load();
  }
}, LOOK_MS);
