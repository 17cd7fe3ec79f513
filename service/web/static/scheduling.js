// What one does with schedules, and the words for them: shared by the list and by the page of one.
import { get, MAY_CHANGE, MAY_NOT, ROOT, send } from "./api.js";
import { cronWords } from "./cron.js";
import { formDialog } from "./dialogs.js";
import { actionButton, confirmed, element, say } from "./dom.js";
import { until, when } from "./format.js";
import { verdictMark } from "./verdicts.js";

const POLICIES = [
  ["previous", "the newest run that succeeded"],
  ["named", "a named baseline"],
  ["best_of", "the best of the last runs that succeeded"],
];

// Return when a schedule runs: in words, as it is written, and in which zone.
export function timing({ cron, timezone }) {
  const words = cronWords(cron);
  const written = [element("code", { title: "cron expression" }, cron), ` ${timezone}`];
  return words === null ? written : [words, element("span", { class: "interval" }, ...written)];
}

export function nextRun(schedule) {
  if (schedule.paused) {
    return element("span", { class: "paused" }, element("span", { "aria-hidden": "true" }, "❚❚"), " paused");
  }
  return element(
    "time",
    { datetime: schedule.next_due_at },
    until(schedule.next_due_at),
    element("span", { class: "interval" }, when(schedule.next_due_at)),
  );
}

// What became of a run, as one reads it at a glance.
export function outcome(run) {
  if (run.state === "training") {
    return element("span", { class: "verdict" }, element("span", { "aria-hidden": "true" }, "…"), " training");
  }
  if (run.state === "failed") {
    return element(
      "span",
      { class: "verdict failed", title: run.reason },
      element("span", { "aria-hidden": "true" }, "✕"),
      " failed",
    );
  }
  return run.verdict === null
    ? element("span", { class: "verdict", title: run.reason }, "no verdict")
    : verdictMark(run.verdict);
}

export function policyText({ policy, name, n }) {
  return {
    previous: "the newest run that succeeded",
    named: `baseline ${name}`,
    best_of: `the best of the last ${n} runs that succeeded`,
  }[policy];
}

// The buttons of a schedule.
//   onChanged: is called with the schedule as it is then; with null where it was deleted.
export function scheduleActions(schedule, onChanged) {
  const path = `/api/v1/schedules/${schedule.id}`;
  const step = (verb, word) => button(word, async () => onChanged(await send("POST", `${path}/${verb}`)), "pause or resume");
  return element(
    "div",
    { class: "actions", role: "group", "aria-label": `Change ${schedule.name}` },
    button("Run now", () => runNow(schedule, onChanged)),
    schedule.paused ? step("resume", "Resume") : step("pause", "Pause"),
    button("Edit …", () => edit(schedule, onChanged)),
    button("Delete …", () => remove(schedule, onChanged)),
  );
}

function button(text, action, key = text) {
  const made = actionButton(text, action, { title: MAY_CHANGE ? null : MAY_NOT, "data-key": key });
  made.disabled = !MAY_CHANGE;
  return made;
}

async function runNow(schedule, onChanged) {
  const run = await send("POST", `/api/v1/schedules/${schedule.id}/run`);
  const against =
    run.baseline.job_id === null ? "There is nothing to compare it with yet." : "It is compared when it has ended.";
  await onChanged(await get(`/schedules/${schedule.id}`));
  say(`A run of ${schedule.name} has started. ${against}`);
}

async function remove(schedule, onChanged) {
  if (
    await confirmed(
      `Delete the schedule “${schedule.name}” with its history and its alerts? Its jobs stay. This cannot be taken back.`,
      "Delete",
    )
  ) {
    await send("DELETE", `/api/v1/schedules/${schedule.id}`);
    await onChanged(null);
    say(`Deleted the schedule ${schedule.name}.`);
  }
}

async function edit(schedule, onChanged) {
  const fields = await timingFields(schedule);
  const changed = await formDialog(`Edit ${schedule.name}`, fields, "Save", (values) =>
    send("PATCH", `/api/v1/schedules/${schedule.id}`, chosen(values)),
  );
  if (changed !== null) {
    await onChanged(changed);
    say(`Saved ${schedule.name}.`);
  }
}

// Ask for a new schedule; resolves to it, or to null.
export async function addSchedule() {
  const name = {
    name: "name",
    label: "Name",
    pointer: "/name",
    note: "letters, digits, . _ and -",
    attributes: { required: true },
  };
  const spec = {
    name: "spec",
    label: "Spec",
    kind: "area",
    pointer: "/spec",
    note: "YAML or JSON. Where it says nothing else, a run trains anew (reuse: false) with 10 seeds.",
    attributes: { rows: 12, required: true, spellcheck: "false" },
  };
  return formDialog("New schedule", [name, ...(await timingFields()), spec], "Add", async (values) =>
    send("POST", "/api/v1/schedules", { name: values.name, ...chosen(values), spec: await specOf(values.spec) }),
  );
}

// Have the server read a spec: it tells the line of each mistake.
async function specOf(text) {
  try {
    return (await send("POST", "/api/v1/specs", { text })).spec;
  } catch (error) {
    error.errors = (error.errors ?? []).map((one) => ({
      ...one,
      pointer: `/spec${one.pointer.replace("/body/text", "")}`,
    }));
    throw error;
  }
}

async function timingFields(schedule = {}) {
  const {
    cron = "0 3 * * *",
    timezone = Intl.DateTimeFormat().resolvedOptions().timeZone,
    baseline = { policy: "previous" },
    thresholds = {},
  } = schedule;
  const names = (await get("/baselines?page_size=500")).items.map((one) => one.name);
  const known = baseline.name && !names.includes(baseline.name) ? [baseline.name, ...names] : names;
  return [
    {
      name: "cron",
      label: "When",
      value: cron,
      pointer: "/cron",
      note: "minute hour day-of-month month day-of-week, or @daily and the like",
      attributes: { required: true },
    },
    { name: "timezone", label: "Time zone", value: timezone, pointer: "/timezone", attributes: { required: true } },
    {
      name: "policy",
      label: "Compare with",
      kind: "select",
      value: baseline.policy,
      options: POLICIES,
      pointer: "/baseline",
    },
    {
      name: "baseline",
      label: "Baseline",
      kind: "select",
      value: baseline.name ?? "",
      options: [["", "–"], ...known.map((one) => [one, one])],
      pointer: "/baseline/name",
      isShown: ({ policy }) => policy === "named",
    },
    {
      name: "n",
      label: "Of so many runs",
      kind: "number",
      value: baseline.n ?? "",
      pointer: "/baseline/n",
      isShown: ({ policy }) => policy === "best_of",
      attributes: { min: 1 },
    },
    {
      name: "factor",
      label: "Yardsticks beyond which a worsening is an alarm",
      value: thresholds.factor ?? "",
      pointer: "/thresholds/factor",
      note: "empty: as calibrated, else 1",
      attributes: { inputmode: "decimal" },
    },
    {
      name: "measures",
      label: "Measures that raise an alarm",
      value: (thresholds.measures ?? []).join(", "),
      pointer: "/thresholds/measures",
      note: "with commas between them; empty: all",
    },
  ];
}

function chosen({ cron, timezone, policy, baseline, n, factor, measures }) {
  const against = { previous: {}, named: { name: baseline || null }, best_of: { n: n === "" ? null : Number(n) } }[
    policy
  ];
  const names = measures
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean);
  const thresholds = { factor: factor.trim() === "" ? null : Number(factor), measures: names.length ? names : null };
  return { cron, timezone, baseline: { policy, ...against }, thresholds };
}

// The address of the comparison that a run was judged by.
export function comparisonOf(scheduleName, run) {
  return `${ROOT}/compare?${new URLSearchParams({ schedule: scheduleName, run: run.id })}`;
}
