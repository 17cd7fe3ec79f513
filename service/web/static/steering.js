// Steering jobs: what may be asked of one, or of several at once, and the buttons for it.
import { MAY_CHANGE, MAY_NOT, ROOT, send } from "./api.js";
import { actionButton, confirmed, element, say } from "./dom.js";

const STEPS = ["pause", "resume", "cancel", "retry"];
export const BULK = ["pause", "resume", "cancel", "delete"];
const DONE = { pause: "paused", resume: "queued again", cancel: "cancelled", retry: "queued again", delete: "deleted" };
const QUESTIONS = {
  cancel: ["Cancel {}? It ends at once; what is recorded stays.", "Cancel"],
  delete: ["Delete {} with all records that no other job uses? This cannot be taken back.", "Delete"],
  rerun: ["Train {} again exactly as it was, as a new job? Nothing is reused: it costs as much as the first time.", "Train again"],
};
const WORDS = { rerun: "Train again", extend: "Extend …", clone: "Clone …", cancel: "Cancel …", delete: "Delete …" };

// Return the buttons for a job.
//   job: as the API tells it; `actions` says what may be asked.
//   onChanged: is called with the job as it is then; with null where it was deleted.
export function steering(job, onChanged) {
  const buttons = STEPS.map((action) => stepButton(job, action, onChanged));
  const rest = [pageLink(job, "extend"), pageLink(job, "clone"), stepButton(job, "rerun", onChanged), stepButton(job, "delete", onChanged)];
  const note = MAY_CHANGE ? null : element("span", { class: "note" }, MAY_NOT);
  return element("div", { class: "actions", role: "group", "aria-label": `Steer ${job.name}` }, ...buttons, ...rest, note);
}

function stepButton(job, action, onChanged) {
  const button = actionButton(word(action), () => asked(job, action, onChanged), { title: whyNot(job, action), "data-key": action });
  button.disabled = whyNot(job, action) !== null;
  return button;
}

function pageLink(job, action) {
  const isClone = action === "clone";
  const why = isClone ? (MAY_CHANGE ? null : MAY_NOT) : whyNot(job, action);
  if (why !== null) {
    return element("button", { type: "button", disabled: true, title: why }, word(action));
  }
  return element("a", { class: "button", href: `${ROOT}/submit?${action}=${job.id}`, "data-key": action }, word(action));
}

function word(action) {
  return WORDS[action] ?? action[0].toUpperCase() + action.slice(1);
}

// Return why a job may not be asked for something; null where it may.
export function whyNot(job, action) {
  if (!MAY_CHANGE) {
    return MAY_NOT;
  }
  if (job.actions.includes(action)) {
    return null;
  }
  return job.requested === null ? `not of a job that is ${job.state}` : `${job.requested} was asked for already`;
}

async function asked(job, action, onChanged) {
  if (QUESTIONS[action] !== undefined && !(await isWanted(action, `“${job.name}”`))) {
    return;
  }
  const changed = await steer(job.id, action);
  if (action === "rerun") {
    location.assign(`${ROOT}/jobs/${changed.id}`);
    return;
  }
  say(`${job.name}: ${outcome(action, changed)}.`);
  onChanged(changed);
}

function isWanted(action, what) {
  const [question, verb] = QUESTIONS[action];
  return confirmed(question.replace("{}", () => what), verb);
}

function outcome(action, changed) {
  return changed?.requested ? `${changed.state}, asked to ${changed.requested}` : DONE[action];
}

// Ask something of a job; resolves to the job as it is then, or the new one; to null where it was deleted.
function steer(jobId, action) {
  const path = `/api/v1/jobs/${jobId}`;
  return action === "delete" ? send("DELETE", path) : send("POST", `${path}/${action}`);
}

// Ask the same of several jobs, one after another, and say what came of it. Resolves to the jobs as they are then, by
// id; one that was deleted is null, one that refused is left out.
export async function steerAll(jobs, action) {
  const what = jobs.length === 1 ? `“${jobs[0].name}”` : `${jobs.length} jobs`;
  if (QUESTIONS[action] !== undefined && !(await isWanted(action, what))) {
    return new Map();
  }
  const changed = new Map();
  const refusals = [];
  for (const job of jobs) {
    try {
      changed.set(job.id, await steer(job.id, action));
    } catch (error) {
      refusals.push(`${job.name}: ${error.message}`);
    }
  }
  const done = changed.size ? `${changed.size === 1 ? "1 job" : `${changed.size} jobs`} ${doneWord(action, changed)}.` : "";
  say([done, ...refusals].join(" ").trim(), { isError: refusals.length > 0 });
  return changed;
}

function doneWord(action, changed) {
  return [...changed.values()].some((job) => job?.requested) ? `asked to ${action}` : DONE[action];
}
