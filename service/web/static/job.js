// The page of a job: progress, the robustness table, and one heat map an optimizer.
import { element, get, nDone, ROOT, when } from "./api.js";

const POLL_MS = 2000;
const COLUMNS = [
  ["best", "best"],
  ["grid_mean", "grid mean"],
  ["p10", "P10"],
  ["good_share", "good share"],
  ["expected_best_4", "best of 4"],
  ["rho_width_max", "ρ width"],
  ["diverged_rate", "diverged"],
  ["collapsed_rate", "collapsed"],
  ["gradient_evaluations", "gradients"],
  ["elapsed_s", "seconds"],
];
const SHARES = new Set(["good_share", "diverged_rate", "collapsed_rate"]);
const id = document.getElementById("job").dataset.jobId;
const message = document.getElementById("message");
let shownRevision = null;

async function show() {
  let ended = false;
  try {
    const job = await get(`/jobs/${id}`);
    showProgress(job);
    showMissing(job.missing);
    if (job.revision !== shownRevision) {
      const [table, definitions] = await Promise.all([get(`/jobs/${id}/table`), get("/measures")]);
      showTables(table, definitions);
      await showMaps(table.tasks);
      shownRevision = job.revision;
    }
    message.textContent = [job.error, ...(await warnings(job))].filter(Boolean).join(" ");
    ended = ["completed", "failed", "cancelled"].includes(job.state);
  } catch (error) {
    message.textContent = `Cannot show this job: ${error.message}`;
  }
  if (!ended) {
    setTimeout(show, POLL_MS);
  }
}

// Say why a job waits when nobody is there to run it.
async function warnings(job) {
  if (job.state !== "queued") {
    return [];
  }
  const response = await fetch(`${ROOT}/readyz`);
  return response.ok ? (await response.json()).warnings : [];
}

function showProgress(job) {
  const { progress } = job;
  const bar = document.getElementById("bar");
  bar.max = progress.total;
  bar.value = nDone(progress);
  document.getElementById("counts").textContent = `${nDone(progress)} of ${progress.total} cells`;
  const rate = progress.cells_per_s === null ? "–" : `${progress.cells_per_s.toFixed(1)} cells/s`;
  const left = progress.eta_s === null ? "" : `, about ${Math.ceil(progress.eta_s)} s left`;
  const facts = {
    state: job.requested ? `${job.state}, asked to ${job.requested}` : job.state,
    cells: `${progress.completed} completed (${progress.collapsed} collapsed), ${progress.diverged} diverged, ` +
      `${progress.timed_out} timed out, ${progress.failed} failed; ${progress.reused} reused`,
    rate: rate + left,
    missing: missingText(job.missing),
    "run by": ownerText(job.owner),
    attempt: `${job.attempt} (crashes: ${job.crashes} of ${job.max_crashes}` +
      `${job.retried_after ? `, retried after attempt ${job.retried_after}` : ""})`,
    submitted: when(job.created_at),
    ended: when(job.finished_at),
    fingerprints: job.fingerprints.length > 1 ? `mixed: ${job.fingerprints.join(", ")}` : job.fingerprints.join(""),
  };
  document.getElementById("facts").replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );
}

function missingText(missing) {
  const { total, untried, failed, timed_out: timedOut } = missing;
  return total ? `${total}: ${untried} untried, ${failed} failed, ${timedOut} timed out` : "none";
}

function ownerText(owner) {
  if (owner === null) {
    return "–";
  }
  const { heartbeat_age_s: age, lease_left_s: left } = owner;
  const heartbeat = age === null ? "in the foreground" : `heard of ${Math.round(age)} s ago`;
  const lease = left > 0 ? `its lease ends in ${Math.round(left)} s` : `its lease ended ${Math.round(-left)} s ago`;
  return `${owner.id}, ${heartbeat}; ${lease}`;
}

// Show the first few cells that were tried without a result.
function showMissing(missing) {
  document.getElementById("missing").hidden = missing.first.length === 0;
  document.getElementById("missing-cells").replaceChildren(
    ...missing.first.map((cell) => {
      const point = Object.entries({ ...cell.hyperparameters, seed: cell.seed }).map(([name, value]) => `${name}=${value}`);
      const texts = [cell.task, cell.optimizer, point.join(" "), cell.status.replace("_", " "), cell.error ?? ""];
      return element("tr", {}, ...texts.map((text) => element("td", {}, text)));
    }),
  );
}

function showTables(table, definitions) {
  const titles = Object.fromEntries(definitions.map((measure) => [measure.name, measure.definition]));
  document.getElementById("tables").replaceChildren(
    ...table.tasks.map((task) => {
      const head = COLUMNS.map(([name, title]) => element("th", { scope: "col", title: titles[name] ?? "" }, title));
      const rows = table.rows.filter((row) => row.task === task.task).map(tableRow);
      return element(
        "div",
        { class: "scroll" },
        element(
          "table",
          {},
          element("caption", {}, captionOf(task, table)),
          element("thead", {}, element("tr", {}, element("th", { scope: "col" }, task.task), ...head)),
          element("tbody", {}, ...rows),
        ),
      );
    }),
  );
}

function captionOf(task, table) {
  const reference = task.y_ref === null ? "no reference yet" : `1 is ${number(task.y_ref)}`;
  const incomplete = table.complete ? "" : ` Incomplete: ${table.missing.count} cells have no result.`;
  return `Scores are test ${task.metric}, normalised: 0 is ${number(task.floor)} (chance, and what a diverged run scores), ` +
    `${reference}. Good is within ${task.tolerance} of the reference. ${task.n_seeds} seeds.${incomplete}`;
}

function tableRow(row) {
  const name = row.ranked ? row.optimizer : `${row.optimizer} (not ranked)`;
  const cells = COLUMNS.map(([measure]) => measureCell(row.measures[measure], SHARES.has(measure) ? share : number));
  return element("tr", {}, element("th", { scope: "row", title: row.grid.reason ?? "" }, name), ...cells);
}

function measureCell(measure, show) {
  if (measure === undefined || measure.value === null) {
    return element("td", { title: measure?.reason ?? "" }, "–");
  }
  const isCensored = measure.flags.some((flag) => flag.startsWith("censored"));
  const text = (isCensored ? "≥ " : "") + show(measure.value);
  const cell = element("td", measure.flags.includes("leads") ? { class: "leads" } : {}, text);
  if (measure.raw !== null && measure.raw !== measure.value) {
    cell.title = `raw ${number(measure.raw)}`;
  }
  if (measure.low !== null) {
    cell.append(element("span", { class: "interval" }, `${number(measure.low)} – ${number(measure.high)}`));
  }
  return cell;
}

function share(value) {
  return `${(100 * value).toFixed(1)} %`;
}

function number(value) {
  if (Math.abs(value) < 5e-4) {
    return "0";
  }
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString() : String(Number(value.toPrecision(3)));
}

async function showMaps(tasks) {
  const maps = document.getElementById("maps");
  for (const [index, { task }] of tasks.entries()) {
    const figure = await get(`/jobs/${id}/figures/heatmap?format=json&task=${encodeURIComponent(task)}`);
    const place = maps.children[index] ?? maps.appendChild(element("div", { role: "img", "aria-label": `Heat maps of ${task}` }));
    await Plotly.react(place, figure.data, figure.layout, { responsive: true, displaylogo: false });
  }
}

show();
