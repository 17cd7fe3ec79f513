// Baselines: completed jobs under names; set, calibrated, and taken away again.
import { get, MAY_CHANGE, MAY_NOT, ROOT, send } from "./api.js";
import { formDialog } from "./dialogs.js";
import { actionButton, confirmed, element, say } from "./dom.js";
import { age, number, percent, when } from "./format.js";
import { follow } from "./live.js";
import { scrolled, tableOf, textHead } from "./parts.js";
import { lookAgain } from "./runs.js";

const REPLAY = "replay"; // the tag of the jobs that calibrate

// Fill a place with the baselines, and follow the replays that calibrate them.
export async function showBaselines(place, { isOpen }) {
  const body = element("div", {});
  let isFollowing = false;
  const add = changing("Set a baseline …", () => set(null, refresh));
  place.replaceChildren(
    element(
      "details",
      { id: "all-baselines", open: isOpen },
      element("summary", { id: "baselines-title" }, "Baselines"),
      element(
        "p",
        { class: "note" },
        "A completed job under a name, with which others are compared. Calibrated, its margins are what harmless numerical changes do; it can then be neither extended nor deleted.",
      ),
      element("div", { class: "actions" }, add),
      body,
    ),
  );

  async function refresh() {
    try {
      const { items } = await get("/baselines?page_size=500");
      body.replaceChildren(items.length ? table(items, refresh) : element("p", { class: "note" }, "No baseline yet."));
      if (!isFollowing && items.some(isCalibrating)) {
        isFollowing = true;
        followReplays(refresh);
      }
    } catch (error) {
      say(`The baselines cannot be shown: ${error.message}`, { isError: true });
    }
  }
  await refresh();
}

function followReplays(refresh) {
  const end = (job) => job.tags.includes(REPLAY) && lookAgain(refresh);
  follow("/events", { end }, { onAgain: refresh });
}

function isCalibrating({ calibration }) {
  return calibration !== null && calibration.n_done < calibration.n_replays;
}

function changing(text, action) {
  const button = actionButton(text, action, { title: MAY_CHANGE ? null : MAY_NOT });
  button.disabled = !MAY_CHANGE;
  return button;
}

function table(items, refresh) {
  const heads = ["name", "job", "set", "margins", "actions"].map(textHead);
  return scrolled("Baselines", tableOf(heads, items.map((one) => row(one, refresh))));
}

function row(baseline, refresh) {
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, baseline.name),
    element(
      "td",
      { class: "text" },
      element("a", { href: `${ROOT}/jobs/${baseline.job_id}` }, baseline.job_name),
      element("span", { class: "interval" }, baseline.job_id),
    ),
    element(
      "td",
      { class: "text", title: when(baseline.set_at) },
      age(baseline.set_at),
      element("span", { class: "interval" }, `by ${baseline.set_by}`),
    ),
    element("td", { class: "text" }, ...margins(baseline)),
    element(
      "td",
      { class: "text" },
      element(
        "div",
        { class: "actions", role: "group", "aria-label": `Change ${baseline.name}` },
        changing("Calibrate …", () => calibrate(baseline, refresh)),
        changing("Other job …", () => set(baseline, refresh)),
        changing("Delete …", () => remove(baseline, refresh)),
      ),
    ),
  );
}

function margins({ name, limits, calibration }) {
  const told = limits === null ? "not calibrated" : `${number(limits.factor)} yardsticks`;
  const rate =
    limits === null
      ? null
      : element("span", { class: "interval" }, `false alarms in ${percent(limits.kept_rate)} of runs at most`);
  if (calibration === null) {
    return [told, rate];
  }
  const { n_done: done, n_replays: all, problems } = calibration;
  const bar =
    done < all
      ? element(
          "span",
          { class: "interval" },
          element("progress", { max: all, value: done, "aria-label": `Replays of ${name}` }),
          ` ${done} of ${all} replays`,
        )
      : null;
  return [told, rate, bar, ...problems.map(problemText)];
}

function problemText({ number: place, job_id: jobId, problem }) {
  const job = jobId === null ? null : element("a", { href: `${ROOT}/jobs/${jobId}` }, "its job");
  return element("span", { class: "interval error" }, `Replay ${place}: ${problem} `, job ?? "");
}

async function set(baseline, refresh) {
  const { items } = await get("/jobs?state=completed&page_size=200");
  const name = {
    name: "name",
    label: "Name",
    value: baseline?.name ?? "",
    note: "letters, digits, . _ and -; one that is there gets the other job",
    attributes: { required: true, readonly: baseline !== null },
  };
  const job = {
    name: "job",
    label: "Job",
    kind: "select",
    value: baseline?.job_id ?? items[0]?.id,
    options: items.map((one) => [one.id, `${one.name} (${one.id}), ${age(one.created_at)}`]),
    pointer: "/job_id",
    note:
      baseline === null
        ? "completed, lacking no cell, and made in one way"
        : "its limits and its replays go with the job that it has now",
  };
  const made = await formDialog(
    baseline === null ? "Set a baseline" : `Give ${baseline.name} another job`,
    [name, job],
    "Set",
    (values) => send("PUT", `/api/v1/baselines/${encodeURIComponent(values.name.trim())}`, { job_id: values.job }),
  );
  if (made !== null) {
    await refresh();
    say(`${made.name} is job ${made.job_name} (${made.job_id}).`);
  }
}

async function calibrate(baseline, refresh) {
  const rate = {
    name: "rate",
    label: "Rate of false alarms a run, over all measures together",
    value: String(baseline.calibration?.alarm_rate ?? 0.05),
    pointer: "/alarm_rate",
    attributes: { inputmode: "decimal", required: true },
  };
  const replays = {
    name: "replays",
    label: "Replays",
    value: "",
    kind: "number",
    pointer: "/n_replays",
    note: "each trains the whole job again; empty: the least that the rate needs, 19 for 0.05, 99 for 0.01",
    attributes: { min: 1 },
  };
  const made = await formDialog(`Calibrate ${baseline.name}`, [rate, replays], "Calibrate", (values) =>
    send("POST", `/api/v1/baselines/${encodeURIComponent(baseline.name)}/calibrate`, {
      alarm_rate: Number(values.rate),
      n_replays: values.replays === "" ? null : Number(values.replays),
    }),
  );
  if (made !== null) {
    await refresh();
    say(`${made.calibration.n_replays} replays of ${made.name} count; its limits are set when all have ended.`);
  }
}

async function remove(baseline, refresh) {
  if (await confirmed(`Delete the baseline “${baseline.name}”? Its job stays, and may be deleted then.`, "Delete")) {
    await send("DELETE", `/api/v1/baselines/${encodeURIComponent(baseline.name)}`);
    await refresh();
    say(`Deleted the baseline ${baseline.name}.`);
  }
}
