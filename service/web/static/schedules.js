// The page with all schedules: when each runs next, what its last run said, and the form for a new one.
import { get, MAY_CHANGE, MAY_NOT, ROOT, withQuery } from "./api.js";
import { byId, element, replaceKeeping, say, sayLoaded } from "./dom.js";
import { age, when } from "./format.js";
import { rowKeys } from "./keys.js";
import { followRuns } from "./runs.js";
import { addSchedule, nextRun, outcome, scheduleActions, timing } from "./scheduling.js";
import { onState, parameter } from "./url.js";

const table = byId("schedules");
const add = byId("add");

async function show() {
  try {
    const { items, next_page_token: next } = await get(withQuery("/schedules", { page_token: parameter("page") }));
    table.hidden = items.length === 0;
    replaceKeeping(table.tBodies[0], ...items.map(row));
    byId("paging").replaceChildren(...(next ? [element("a", { href: `?page=${next}` }, "More schedules")] : []));
    byId("empty").hidden = items.length > 0;
    sayLoaded();
  } catch (error) {
    say(`Cannot show the schedules: ${error.message}`, { isError: true });
  }
}

function row(schedule) {
  return element(
    "tr",
    { "data-key": schedule.name },
    element(
      "th",
      { scope: "row" },
      element("a", { href: `${ROOT}/schedules/${encodeURIComponent(schedule.name)}` }, schedule.name),
    ),
    element("td", { class: "text" }, ...timing(schedule)),
    element("td", { class: "text" }, nextRun(schedule)),
    element("td", { class: "text" }, ...lastRun(schedule.last_run)),
    element("td", { class: "text" }, scheduleActions(schedule, show)),
  );
}

function lastRun(run) {
  if (run === null) {
    return ["none yet"];
  }
  return [outcome(run), element("span", { class: "interval", title: when(run.due_at) }, age(run.due_at))];
}

add.disabled = !MAY_CHANGE;
add.title = MAY_CHANGE ? "" : MAY_NOT;
add.addEventListener("click", async () => {
  try {
    const made = await addSchedule();
    if (made !== null) {
      await show();
      say(`Added ${made.name}; its first run is due ${when(made.next_due_at)}.`);
    }
  } catch (error) {
    say(error.message, { isError: true });
  }
});
rowKeys(table);
onState(show);
await show();
followRuns(() => true, show);
