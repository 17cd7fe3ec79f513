// The head of a job's page: how far it is, who runs it, what it lacks, its log and its spec.
import { followText, getText, ROOT } from "./api.js";
import { byId, element, replaceKeeping, say } from "./dom.js";
import { age, duration, flightText, hyperparametersText, nDone, number, reached, when } from "./format.js";
import { terms } from "./parts.js";
import { steering } from "./steering.js";

const WORDS = { timed_out: "timed out" };
let steeredAs = null;
let logging = null;
let warningsAsked = 0;

export function showHead(job, onChanged) {
  const { progress } = job;
  const state = byId("state");
  state.className = job.state;
  state.textContent = job.requested ? `${job.state}, asked to ${job.requested}` : job.state;
  byId("bar").max = Math.max(progress.total, 1);
  byId("bar").value = reached(progress);
  byId("counts").textContent = `${nDone(progress).toLocaleString()} of ${progress.total.toLocaleString()} cells${leftText(progress)}`;
  byId("error").hidden = job.error === null;
  byId("error").textContent = job.error ?? "";
  byId("facts").replaceChildren(...terms(facts(job)));
  showMissing(job.missing);
  showSteering(job, onChanged);
  showWarnings(job).catch((error) => say(error.message, { isError: true }));
}

function leftText(progress) {
  const { cells_per_s: rate, eta_s: left } = progress;
  const parts = [rate === null ? null : `${number(rate)} cells/s`, left === null ? null : `about ${duration(left)} left`, flightText(progress)];
  const text = parts.filter((part) => part !== null).join(", ");
  return text && ` · ${text}`;
}

function facts(job) {
  const { progress } = job;
  const outcomes = [`${progress.completed} completed (${progress.collapsed} collapsed)`, `${progress.diverged} diverged`,
    `${progress.timed_out} timed out`, `${progress.failed} failed`, `${progress.reused} reused`];
  return [
    ["cells", outcomes.join(", ")],
    ["missing", missingText(job.missing)],
    ["submitted", `${when(job.created_at)} (${age(job.created_at)}) by ${job.submitted_by}`],
    ["ended", job.finished_at === null ? "–" : `${when(job.finished_at)} (${age(job.finished_at)})`],
    ["run by", ownerText(job.owner)],
    ["attempt", attemptText(job)],
    ["tags", tagLinks(job.tags)],
    ["fingerprints", job.fingerprints.join(", ") || "–"],
    ...(job.rerun_of === null ? [] : [["trains again", element("a", { href: `${ROOT}/jobs/${job.rerun_of}` }, job.rerun_of)]]),
    ["id", element("code", {}, job.id)],
  ];
}

function missingText({ total, untried, failed, timed_out: timedOut }) {
  return total ? `${total}: ${untried} untried, ${failed} failed, ${timedOut} timed out` : "none";
}

function ownerText(owner) {
  if (owner === null) {
    return "–";
  }
  const { heartbeat_age_s: heard, lease_left_s: left } = owner;
  const heartbeat = heard === null ? "in the foreground" : `heard of ${Math.round(heard)} s ago`;
  const lease = left > 0 ? `its lease ends in ${Math.round(left)} s` : `its lease ended ${Math.round(-left)} s ago`;
  return `${owner.id}, ${heartbeat}; ${lease}`;
}

function attemptText(job) {
  const retried = job.retried_after ? `, retried after attempt ${job.retried_after}` : "";
  return `${job.attempt} (crashes: ${job.crashes} of ${job.max_crashes}${retried})`;
}

function tagLinks(tags) {
  return tags.length ? tags.flatMap((tag) => [element("a", { href: `${ROOT}/?${new URLSearchParams({ tag })}` }, tag), " "]) : "–";
}

// Show the first few cells that were tried without a result.
function showMissing({ first, failed, timed_out: timedOut }) {
  byId("missing").hidden = first.length === 0;
  byId("missing-note").textContent = failed + timedOut > first.length ? `The first ${first.length} of ${failed + timedOut} that were tried.` : "";
  byId("missing-cells").replaceChildren(
    ...first.map((cell) => {
      const point = `${hyperparametersText(cell.hyperparameters)} seed=${cell.seed}`;
      const texts = [cell.task, cell.optimizer, point, WORDS[cell.status] ?? cell.status];
      return element("tr", {}, ...texts.map((text) => element("td", {}, text)), element("td", { class: "wrap" }, cell.error ?? ""));
    }),
  );
}

// The buttons are made anew only where what may be asked is another: one that has the focus keeps it.
function showSteering(job, onChanged) {
  const offered = JSON.stringify([job.state, job.requested, job.actions]);
  if (offered !== steeredAs) {
    steeredAs = offered;
    replaceKeeping(byId("steering"), steering(job, onChanged));
  }
}

// Say why a job waits when nobody is there to run it.
async function showWarnings(job) {
  const turn = ++warningsAsked;
  const warnings = job.state === "queued" ? await readiness() : [];
  if (turn !== warningsAsked) {
    return; // the job is another since
  }
  byId("warnings").hidden = warnings.length === 0;
  byId("warnings").textContent = warnings.join(" ");
}

async function readiness() {
  const response = await fetch(`${ROOT}/readyz`);
  return response.ok ? (await response.json()).warnings : [];
}

// The log comes when it is opened, and goes on until it is closed or the job has ended.
byId("log").addEventListener("toggle", async () => {
  logging?.abort();
  logging = null;
  if (!byId("log").open) {
    return;
  }
  logging = new AbortController();
  byId("log-text").textContent = "";
  byId("log-note").textContent = "Its last 200 lines, and what comes.";
  try {
    await followText(`/jobs/${byId("job").dataset.jobId}/logs?follow=true`, append, logging.signal);
    byId("log-note").textContent = "Its last lines; the job has ended.";
  } catch (error) {
    if (error.name !== "AbortError") {
      byId("log-note").textContent = error.message;
    }
  }
});

byId("spec").addEventListener("toggle", async () => {
  if (byId("spec").open) {
    byId("spec-text").textContent = await getText(`/jobs/${byId("job").dataset.jobId}/spec`).catch((error) => error.message);
  }
});

function append(piece) {
  const text = byId("log-text");
  const isAtEnd = text.scrollTop + text.clientHeight >= text.scrollHeight - 4;
  text.append(piece);
  if (isAtEnd) {
    text.scrollTop = text.scrollHeight;
  }
}
