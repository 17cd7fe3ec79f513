// A row of the list of jobs, which changes in place: nothing jumps, and the focus stays.
import { ROOT } from "./api.js";
import { element } from "./dom.js";
import { age, duration, isEnded, nDone, number, reached, when } from "./format.js";

const MAX_LINES = 6;
const NOT_YET = "scores come when the job has ended; its page has what there is so far";

export class JobRow {
  // onChosen: is called with whether the row is chosen.
  constructor(job, onChosen) {
    this.job = job;
    this.scores = null; // what is shown, once it was fetched
    this.box = element("input", { type: "checkbox" });
    this.box.addEventListener("change", () => onChosen(this.box.checked));
    this.name = element("a", { href: `${ROOT}/jobs/${job.id}` });
    this.tags = element("span", { class: "tags" });
    this.state = element("td", { class: "text" });
    this.bar = element("progress", { max: 1, value: 0 });
    this.counts = element("span", { class: "quiet" });
    this.scoreCell = element("td", { class: "text" });
    this.cost = element("td", {});
    this.age = element("time", {});
    this.by = element("span", { class: "quiet" });
    this.element = element(
      "tr",
      {},
      element("td", {}, this.box),
      element("th", { scope: "row", class: "text job wrap" }, this.name, this.tags),
      this.state,
      element("td", { class: "text progress" }, this.bar, this.counts),
      this.scoreCell,
      this.cost,
      element("td", {}, this.age, this.by),
    );
    this.isNew = true;
  }

  update(job) {
    if (!this.isNew && job.revision < this.job.revision) {
      return;
    }
    this.isNew = false;
    this.job = job;
    setText(this.name, job.name);
    this.box.setAttribute("aria-label", `Choose ${job.name}`);
    if (this.tags.dataset.shown !== job.tags.join("\n")) {
      this.tags.dataset.shown = job.tags.join("\n");
      this.tags.replaceChildren(...job.tags.map(tagLink));
    }
    this.#showState(job);
    this.#showProgress(job);
    this.#showScores();
    this.#showCost();
    setText(this.by, job.submitted_by);
    this.showAge();
  }

  // Show what was fetched.
  give(scores) {
    this.scores = scores;
    this.#showScores();
    this.#showCost();
  }

  // Whether there are scores that the row does not show yet.
  get wantsScores() {
    return this.job.finished_at !== null && isEnded(this.job) && this.scores?.revision !== this.job.revision;
  }

  showAge() {
    setText(this.age, age(this.job.created_at));
    this.age.dateTime = this.job.created_at;
    this.age.title = when(this.job.created_at);
  }

  #showState(job) {
    const text = job.requested ? `${job.state}, asked to ${job.requested}` : job.state;
    if (this.state.dataset.shown === `${text}${job.error}`) {
      return;
    }
    this.state.dataset.shown = `${text}${job.error}`;
    const error = job.error ? element("span", { class: "quiet clipped", title: job.error }, job.error) : null;
    this.state.replaceChildren(element("span", { class: `state ${job.state}` }, text), ...(error ? [error] : []));
  }

  #showProgress({ progress, name, state }) {
    const done = nDone(progress);
    this.bar.max = Math.max(1, progress.total);
    this.bar.value = reached(progress);
    this.bar.setAttribute("aria-label", `Progress of ${name}`);
    const bad = [["diverged", progress.diverged], ["timed out", progress.timed_out], ["failed", progress.failed]];
    const noted = bad.filter(([, n]) => n > 0).map(([word, n]) => `${n} ${word}`);
    const left = state === "running" && progress.eta_s !== null ? [`${duration(progress.eta_s)} left`] : [];
    setText(this.counts, [`${done.toLocaleString()} of ${progress.total.toLocaleString()}`, ...noted, ...left].join(" · "));
  }

  #showScores() {
    const shown = isEnded(this.job) ? this.scores : null;
    if (this.scoreCell.shown === shown && this.scoreCell.childNodes.length) {
      return;
    }
    this.scoreCell.shown = shown;
    this.scoreCell.replaceChildren(...scoreLines(shown, isEnded(this.job) ? "…" : "–", this.job.id));
  }

  #showCost() {
    const { progress } = this.job;
    const gradients = this.scores?.gradient_evaluations;
    const took = this.scores?.elapsed_s;
    const further = [gradients ? `${compact(gradients)} gradients` : null, took ? `${duration(took)} of runs` : null];
    const text = further.filter(Boolean).join(" · ");
    if (this.cost.dataset.shown !== `${progress.total} ${text}`) {
      this.cost.dataset.shown = `${progress.total} ${text}`;
      const reused = progress.reused ? `, ${progress.reused.toLocaleString()} reused` : "";
      this.cost.replaceChildren(`${progress.total.toLocaleString()} cells${reused}`, element("span", { class: "quiet" }, text));
    }
  }
}

function tagLink(tag) {
  return element("a", { class: "tag", href: `${ROOT}/?${new URLSearchParams({ tag })}`, title: "Show the jobs with this tag" }, tag);
}

function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

function compact(value) {
  return new Intl.NumberFormat(undefined, { notation: "compact", maximumSignificantDigits: 3 }).format(value);
}

function scoreLines(scores, placeholder, jobId) {
  if (scores === null) {
    return [element("span", { class: "quiet", title: placeholder === "–" ? NOT_YET : "coming" }, placeholder)];
  }
  const why = scores.reason ?? (scores.rows.some((row) => row.best.value !== null) ? null : scores.rows[0]?.best.reason);
  if (why) {
    return [element("span", { class: "quiet clipped", title: why }, `– ${why}`)];
  }
  const lines = [];
  let task = null;
  for (const row of scores.rows) {
    if (row.task !== task) {
      task = row.task;
      lines.push(element("li", { class: "quiet" }, `${task}, ${row.metric}`));
    }
    lines.push(scoreLine(row));
  }
  const cut = lines.length - MAX_LINES;
  const more = cut > 1 ? [element("a", { href: `${ROOT}/jobs/${jobId}` }, `${cut} more`)] : [];
  return [element("ul", { class: "scores" }, ...(cut > 1 ? lines.slice(0, MAX_LINES) : lines)), ...more];
}

function scoreLine({ optimizer, best, grid_mean: mean }) {
  return element(
    "li",
    {},
    element("span", { class: "optimizer" }, optimizer),
    score(best, short(best.raw, 3), "best"),
    score(mean, short(mean.value, 2), "grid mean"),
  );
}

function short(value, digits) {
  const isSmall = value !== null && Math.abs(value) <= 1;
  return isSmall ? value.toFixed(digits).replace(/^(-?)0\./, "$1.") : number(value);
}

function score(measure, text, word) {
  const interval = measure.low === null ? "" : `, normalised ${number(measure.value)} [${number(measure.low)}, ${number(measure.high)}]`;
  const title = measure.value === null ? measure.reason : `${word}: raw ${number(measure.raw)}${interval}`;
  return element("span", { class: measure.leads ? "leads" : null, title }, `${text} ${word}${measure.leads ? ", leads" : ""}`);
}
