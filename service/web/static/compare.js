// The page that compares: jobs or optimizers side by side, or a candidate with its baseline, as the URL says.
import { get, withQuery } from "./api.js";
import { showBaselines } from "./baselines.js";
import { showChoice } from "./choosing.js";
import { comparison } from "./comparison.js";
import { byId, element, say, sayLoaded } from "./dom.js";
import { sideBySide } from "./sidebyside.js";
import { onState, parameter, parameters } from "./url.js";
import { definitions } from "./verdicts.js";

const result = byId("result");
let shown = null;

// Return what is asked for, or null where nothing is.
function asked() {
  const [schedule, run] = [parameter("schedule"), parameter("run")];
  const [baseline, candidate] = [parameter("baseline"), parameter("candidate")];
  const jobs = parameters("job");
  if (schedule && run) {
    return { kind: "run", path: `/schedules/${encodeURIComponent(schedule)}/history/${encodeURIComponent(run)}` };
  }
  if (baseline && candidate) {
    return { kind: "verdict", path: withQuery("/comparisons", { baseline, candidate }) };
  }
  const several = withQuery("/tables", { job: jobs, apart: true });
  const path = jobs.length === 1 ? `/jobs/${encodeURIComponent(jobs[0])}/table` : several;
  return jobs.length ? { kind: "jobs", path, jobs } : null;
}

async function show() {
  const wanted = asked();
  const key = JSON.stringify(wanted);
  if (key !== shown) {
    shown = key;
    result.replaceChildren();
    if (wanted !== null) {
      say("Loading …");
      await fill(wanted, key);
    }
  }
  if (wanted === null) {
    sayLoaded();
  }
}

async function fill(wanted, key) {
  try {
    const [found, known] = await Promise.all([get(wanted.path), definitions()]);
    if (key === shown) {
      const parts =
        wanted.kind === "jobs" ? sideBySide(found, wanted.jobs, known.listed) : comparison(found, wanted, known);
      result.replaceChildren(...parts);
      sayLoaded();
    }
  } catch (error) {
    if (key === shown) {
      result.replaceChildren(element("p", { class: "note" }, "Choose something else above, or go back."));
      say(`This cannot be compared: ${error.message}`, { isError: true });
      byId("choose").open = true;
    }
  }
}

byId("choose").open = asked() === null || (parameters("job").length === 1 && parameters("optimizer").length < 2);
onState(show);
await Promise.all([show(), showChoice()]);
await showBaselines(byId("baselines"), { isOpen: asked() === null });
