// The page of alerts: what became worse, by how much and since when, and who knows of it.
import { get, MAY_CHANGE, MAY_NOT, ROOT, send, withQuery } from "./api.js";
import { countOpenAlerts } from "./badge.js";
import { formDialog } from "./dialogs.js";
import { byId, element, replaceKeeping, say, sayLoaded } from "./dom.js";
import { age, when } from "./format.js";
import { followRuns } from "./runs.js";
import { addressWith, onState, parameter, setParameters } from "./url.js";
import { changesTable, definitions } from "./verdicts.js";

const STATES = [
  ["open", "Open"],
  ["acknowledged", "Acknowledged"],
  ["closed", "Closed"],
  ["all", "All"],
];
const SIGNS = { open: "●", acknowledged: "◐", closed: "○" };
const EMPTY = {
  open: "No alert is open: nothing that a schedule watches has become worse without somebody knowing.",
  acknowledged: "No alert is acknowledged.",
  closed: "No alert has been closed yet.",
  all: "No alert yet. Schedules open one where a run regressed.",
};
const only = byId("alerts").dataset.alertId;
let newest = 0;

async function show() {
  const turn = ++newest;
  try {
    const [found, known] = await Promise.all([only ? one() : listed(), definitions()]);
    if (turn === newest) {
      render(found, known);
    }
  } catch (error) {
    say(`Cannot show the alerts: ${error.message}`, { isError: true });
  }
}

async function one() {
  return { items: [await get(`/alerts/${only}`)], counts: null, next_page_token: null };
}

function listed() {
  const state = parameter("state", "open");
  const query = {
    state: state === "all" ? null : state,
    schedule: parameter("schedule"),
    page_token: parameter("page"),
    page_size: 20,
  };
  return get(withQuery("/alerts", query));
}

function render({ items, counts, next_page_token: next }, known) {
  if (counts !== null) {
    replaceKeeping(byId("filters"), ...filters(counts));
  }
  const empty = element("p", { class: "note" }, emptyText());
  replaceKeeping(byId("alerts"), ...(items.length ? items.map((alert) => card(alert, known)) : [empty]));
  byId("paging").replaceChildren(...paging(next));
  sayLoaded();
}

function emptyText() {
  const schedule = parameter("schedule");
  return EMPTY[parameter("state", "open")] + (schedule ? ` Only those of the schedule “${schedule}” are shown.` : "");
}

function filters(counts) {
  const all = counts.open + counts.acknowledged + counts.closed;
  const states = STATES.map(([state, word]) => {
    const current = parameter("state", "open") === state ? "true" : null;
    const changes = { state: state === "open" ? null : state, page: null };
    return linkTo(changes, `${word} ${counts[state] ?? all}`, { "aria-current": current, "data-key": state });
  });
  const schedule = parameter("schedule");
  const everywhere = schedule
    ? element(
        "button",
        { type: "button", click: () => setParameters({ schedule: null, page: null }, { push: true }) },
        `Schedule ${schedule} ✕`,
      )
    : null;
  return [...states, everywhere].filter(Boolean);
}

// A link to the page with other parameters: a plain click does not load it again, any other is the browser's.
function linkTo(changes, text, attributes = {}) {
  const link = element("a", { href: addressWith(changes), ...attributes }, text);
  link.addEventListener("click", (event) => {
    if (!(event.ctrlKey || event.metaKey || event.shiftKey || event.button)) {
      event.preventDefault();
      setParameters(changes, { push: true });
    }
  });
  return link;
}

function paging(next) {
  const links = [parameter("page") ? linkTo({ page: null }, "Newest") : null, next ? linkTo({ page: next }, "Older") : null];
  return links.filter(Boolean);
}

function card(alert, known) {
  const worse = alert.measures.filter((change) => change.verdict === "regressed");
  const name = `${alert.optimizer} on ${alert.task}`;
  const rest = alert.measures.filter((change) => change.verdict !== "regressed");
  return element(
    "article",
    { class: "card", "data-key": alert.id, "aria-labelledby": `title-${alert.id}` },
    element(
      "h2",
      { id: `title-${alert.id}` },
      stateMark(alert.state),
      " ",
      element("a", { href: `${ROOT}/alerts/${alert.id}` }, name),
    ),
    element("p", {}, ...said(alert)),
    alert.note ? element("blockquote", {}, alert.note) : null,
    worse.length ? changesTable(worse, known, `What is worse of ${name}`) : null,
    rest.length ? more(alert, rest, known) : null,
    element("div", { class: "actions" }, ...links(alert), acknowledgement(alert)),
  );
}

function stateMark(state) {
  return element(
    "span",
    { class: `state ${state}` },
    element("span", { "aria-hidden": "true" }, SIGNS[state]),
    ` ${state}`,
  );
}

function said(alert) {
  const schedule = element(
    "a",
    { href: `${ROOT}/schedules/${encodeURIComponent(alert.schedule_name)}` },
    alert.schedule_name,
  );
  const since = ["Schedule ", schedule, ". Worse since ", time(alert.opened_at)];
  const known =
    alert.acknowledged_at === null
      ? []
      : ["; acknowledged by ", alert.acknowledged_by, " ", time(alert.acknowledged_at)];
  const over = alert.closed_at === null ? [] : ["; over ", time(alert.closed_at)];
  return [...since, ...known, ...over, "."];
}

function time(text) {
  return element("time", { datetime: text, title: when(text) }, age(text));
}

function more(alert, changes, known) {
  const count = changes.length === 1 ? "1 measure was" : `${changes.length} measures were`;
  const title = `${count} worse in an earlier run, and not for certain in the last`;
  return element("details", { "data-key": "more" }, element("summary", {}, title), changesTable(changes, known, title));
}

function links(alert) {
  const run = withQuery("/compare", { schedule: alert.schedule_name, run: alert.last_run_id });
  const jobs = [
    [alert.job_id, "Job of the last run"],
    [alert.baseline_job_id, alert.baseline_name === null ? "Compared with" : `Baseline ${alert.baseline_name}`],
    [alert.first_job_id === alert.job_id ? null : alert.first_job_id, "First job that was worse"],
  ];
  const shown = jobs
    .filter(([id]) => id !== null)
    .map(([id, text]) => element("a", { href: `${ROOT}/jobs/${id}` }, text));
  return [element("a", { href: `${ROOT}${run}` }, "Whole comparison"), ...shown];
}

function acknowledgement(alert) {
  if (alert.state === "closed") {
    return null;
  }
  const verb = alert.state === "open" ? "Acknowledge …" : "Change the note …";
  const attributes = { type: "button", title: MAY_CHANGE ? null : MAY_NOT, disabled: !MAY_CHANGE, "data-key": "acknowledge" };
  const button = element("button", attributes, verb);
  button.addEventListener("click", () => acknowledge(alert));
  return button;
}

async function acknowledge(alert) {
  const field = {
    name: "note",
    label: "Note: what it is, or what is done about it",
    value: alert.note ?? "",
    kind: "area",
    pointer: "/note",
    attributes: { maxlength: 2000 },
  };
  const title = `Acknowledge ${alert.optimizer} on ${alert.task}`;
  const answer = await formDialog(title, [field], "Acknowledge", (values) =>
    send("POST", `/api/v1/alerts/${alert.id}/acknowledge`, values),
  );
  if (answer !== null) {
    await Promise.all([show(), countOpenAlerts()]);
    say(`Acknowledged: ${alert.optimizer} on ${alert.task}. Its runs count as successes from now on.`);
  }
}

onState(show);
await show();
followRuns(() => true, show);
