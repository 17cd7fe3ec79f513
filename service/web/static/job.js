// The page of a job: its head at once, its table when it is there, its figures when somebody looks at them.
import { get, ROOT } from "./api.js";
import { byId, say, sayLoaded } from "./dom.js";
import { cellDialog } from "./cell.js";
import { isEnded } from "./format.js";
import { showFigures } from "./job-figures.js";
import { showHead } from "./job-head.js";
import { shortcut } from "./keys.js";
import { follow } from "./live.js";
import { showMaps } from "./maps.js";
import { showTable } from "./robustness.js";

const LATER_MS = 3_000; // between two readings of what takes long while a job runs, and ten times what one takes
const id = byId("job").dataset.jobId;
let job = null;
let live = null;
let shownRevision = null;
let isReading = false;
let isWhole = false; // what an event brings is less than all of a job
let timer = null;

async function showJob(changed = null) {
  const read = changed ?? (await get(`/jobs/${id}`));
  if (changed === null && read.revision < (job?.revision ?? 0)) {
    return; // an event came meanwhile
  }
  job = read;
  isWhole = true;
  sayLoaded();
  showHead(job, steered);
}

function steered(changed) {
  if (changed === null) {
    location.assign(`${ROOT}/`);
    return;
  }
  showJob(changed).then(() => live?.again()).catch(said);
}

// Read the results of a new revision; while a job runs not more often than they are worth.
async function showResults() {
  if (isReading || timer !== null || job.revision === shownRevision) {
    return;
  }
  isReading = true;
  const began = performance.now();
  try {
    if (!isWhole) {
      await showJob().catch(said);
    }
    shownRevision = job.revision;
    const table = await showTable(job);
    if (table !== null) {
      showMaps(job, table);
      await showFigures(job);
    }
  } catch (error) {
    said(error);
  } finally {
    isReading = false;
  }
  const took = performance.now() - began;
  timer = setTimeout(() => {
    timer = null;
    showResults();
  }, isEnded(job) ? 0 : Math.max(LATER_MS, 10 * took));
}

// Take in an event: it tells the job as a list has it; who runs it, and what is missing, is asked for.
async function changed(news) {
  const before = job;
  job = { ...job, ...news };
  isWhole = false;
  showHead(job, steered);
  const { failed, timed_out: timedOut } = before.progress;
  const isOther = before.state !== news.state || before.requested !== news.requested || before.attempt !== news.attempt;
  if (isOther || failed !== news.progress.failed || timedOut !== news.progress.timed_out) {
    await showJob().catch(said);
  }
  if (isEnded(job)) {
    clearTimeout(timer);
    timer = null;
  }
  await showResults();
}

function said(error) {
  say(error.message, { isError: true });
}

// Go to a section, and say so in the URL: what stands above it may be still to come.
function goTo(section, title) {
  return () => {
    history.replaceState(null, "", `#${section}`);
    byId(section).scrollIntoView();
    byId(title).focus({ preventScroll: true });
  };
}

shortcut("t", "robustness table", goTo("robustness", "table-title"));
shortcut("h", "heat maps", goTo("heat-maps", "maps-title"));
shortcut("f", "other figures", goTo("other-figures", "figures-title"));
shortcut("l", "log of the driver", () => {
  byId("log").open = !byId("log").open;
  byId("log").scrollIntoView({ block: "nearest" });
});

cellDialog(id);
try {
  await showJob();
  live = follow(`/jobs/${id}/events`, { job: changed, records: changed, end: changed }, { isOver: (kind) => kind === "end" });
  await showResults();
  byId(location.hash.slice(1))?.scrollIntoView();
} catch (error) {
  said(error);
}
