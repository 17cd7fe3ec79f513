// A comparison of a candidate with its baseline: the verdict in words, what changed, and by what it was judged.
import { getText, ROOT, withQuery } from "./api.js";
import { actionButton, copyText, element } from "./dom.js";
import { figureCard } from "./figures.js";
import { scrolled, tableOf, terms, textHead } from "./parts.js";
import { amount, changesTable, signed, titleOf, verdictMark, WORST_FIRST } from "./verdicts.js";

const HEADLINES = {
  regressed: "something became worse",
  undecided: "more seeds would tell",
  improved: "nothing became worse, and something improved",
  same: "nothing changed beyond its margin",
  not_tested: "nothing could be tested",
};
const CHANGED = ["regressed", "undecided", "improved"];

// Return the elements that show a comparison.
//   found: what `/comparisons` answers, or a run of a schedule with its comparison.
//   wanted: `{kind, path}` by which it was asked for.
//   known: definitions of the measures.
export function comparison(found, wanted, known) {
  const sides = wanted.kind === "run" ? sidesOfRun(found) : sidesOf(found);
  const compared = wanted.kind === "run" ? found.comparison : found;
  if (compared === null) {
    return [
      element("p", {}, `This run has no comparison: ${found.reason ?? "it is not judged yet"}.`),
      links(sides, wanted),
    ];
  }
  return [
    headline(compared, known),
    facts(compared, sides),
    links(sides, wanted),
    ...changesOf(compared, known),
    ...pairs(compared.pairs),
    ...maps(compared.pairs, sides),
    ...makings(sides),
  ];
}

function sidesOf({ baseline, candidate, baseline_name: name }) {
  return {
    baseline: {
      ...baseline,
      text: name === null ? `${baseline.name} (job ${baseline.id})` : `${name} (job ${baseline.id})`,
      key: name ?? baseline.id,
    },
    candidate: { ...candidate, text: `${candidate.name} (job ${candidate.id})`, key: candidate.id },
  };
}

function sidesOfRun(run) {
  const { job_id: baselineId, name } = run.baseline;
  const jobText = (id) => (id === null ? "a job that was deleted" : `job ${id}`);
  return {
    baseline: {
      id: baselineId,
      text: name === null ? jobText(baselineId) : `${name} (${jobText(baselineId)})`,
      key: name ?? baselineId,
      made_by: null,
      n_missing: 0,
      state: "completed",
    },
    candidate: {
      id: run.job_id,
      text: jobText(run.job_id),
      key: run.job_id,
      made_by: run.made_by,
      n_missing: 0,
      state: "completed",
    },
  };
}

function headline({ verdict, measures }, known) {
  const groups = Map.groupBy(
    measures.filter((one) => one.verdict === "regressed"),
    (one) => `${one.optimizer} on ${one.task}`,
  );
  const worse = [...groups].map(([name, changes]) =>
    element(
      "li",
      {},
      element("strong", {}, name),
      ` is harder to tune: ${changes.map((one) => titleOf(one.name, known)).join(", ")}`,
    ),
  );
  const counts = WORST_FIRST.map((one) => [one, measures.filter((change) => change.verdict === one).length]).filter(
    ([, count]) => count,
  );
  const told = counts.flatMap(([one, count], index) => [index ? ", " : "", `${count} `, verdictMark(one)]);
  return element(
    "section",
    { class: "card", "aria-label": "Verdict" },
    element("h2", {}, verdictMark(verdict), ` – ${HEADLINES[verdict]}`),
    worse.length ? element("ul", {}, ...worse) : null,
    element("p", {}, ...told, ` of ${measures.length} measures.`),
  );
}

function facts(compared, { baseline, candidate }) {
  const calibrated = compared.is_calibrated
    ? "calibrated: margins are what harmless numerical changes did"
    : "not calibrated: margins are tolerances, not what harmless numerical changes do";
  const rows = {
    candidate: [jobLink(candidate), stateNote(candidate)],
    baseline: [jobLink(baseline), stateNote(baseline)],
    seeds: `${compared.n_seeds} that both have`,
    correction: compared.correction,
    margins: calibrated,
  };
  return element("dl", {}, ...terms(Object.entries(rows)));
}

function jobLink({ id, text }) {
  return id === null ? text : element("a", { href: `${ROOT}/jobs/${id}` }, text);
}

function stateNote({ state, n_missing: missing }) {
  return state === "completed" && !missing ? "" : `: it is ${state} and lacks ${missing} cells`;
}

function links({ baseline, candidate }, { kind, path }) {
  const again = withQuery("/compare", { baseline: baseline.key, candidate: candidate.key });
  const both = [baseline.id, candidate.id].every((id) => id !== null);
  const ofRun = both ? [element("a", { href: `${ROOT}${again}` }, "Compare again, by the limits of today")] : [];
  const report = withQuery("/comparisons", { baseline: baseline.key, candidate: candidate.key, format: "md" });
  const files = [
    element("a", { href: `${ROOT}/api/v1${report}`, download: `comparison-${candidate.id}.md` }, "Report (md)"),
    element("a", { href: `${ROOT}/api/v1${path}`, download: `comparison-${candidate.id}.json` }, "json"),
    actionButton("Copy report as Markdown", async () => copyText(await getText(report), "the report")),
  ];
  const side = both
    ? [element("a", { href: `${ROOT}${withQuery("/compare", { job: [candidate.id, baseline.id] })}` }, "Side by side")]
    : [];
  return element("div", { class: "actions" }, ...(kind === "run" ? ofRun : files), ...side);
}

function changesOf({ measures }, known) {
  const order = (change) => WORST_FIRST.indexOf(change.verdict);
  const sorted = [...measures].sort((one, other) => order(one) - order(other));
  const changed = sorted.filter((one) => CHANGED.includes(one.verdict));
  const rest = sorted.filter((one) => !CHANGED.includes(one.verdict));
  const title = `The other ${rest.length} measures: the same, or not tested`;
  return [
    element("h2", {}, "What changed"),
    changed.length
      ? changesTable(changed, known, "What changed", { isOfSeveral: true })
      : element("p", { class: "note" }, "Every measure that could be tested is the same within its margin."),
    rest.length
      ? element("details", {}, element("summary", {}, title), changesTable(rest, known, title, { isOfSeveral: true }))
      : null,
  ].filter(Boolean);
}

function pairs(found) {
  const rows = found.map((one) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, one.optimizer),
      element("td", { class: "text" }, one.task),
      element("td", {}, String(one.n)),
      element("td", {}, String(one.n_identical)),
      element("td", {}, one.mean_difference === null ? "–" : signed(one.mean_difference, "score").value),
      element("td", {}, amount(one.worse_share, "share")),
    ),
  );
  const heads = ["optimizer", textHead("task"), "pairs", "identical", "mean difference", "candidate worse in"];
  const caption =
    "Cells paired by configuration and seed; differences are of test scores in raw units, candidate less baseline; of ties a half counts as worse.";
  return [element("h2", {}, "Pairs"), scrolled("Pairs", tableOf(heads, rows, { caption }))];
}

// Maps of candidate less baseline, of each task: a panel an optimizer that both trained.
function maps(found, { baseline, candidate }) {
  if (baseline.id === null || candidate.id === null || baseline.id === candidate.id) {
    return [];
  }
  const tasks = [...new Set(found.filter((one) => one.n > 0).map((one) => one.task))];
  const job = [candidate.id, baseline.id];
  const cards = tasks.map((task) => figureCard(`${task}: candidate − baseline`, "/figures/difference", { job, task }));
  return cards.length ? [element("h2", {}, "Where the difference lies"), ...cards] : [];
}

// What of the making of the two is not the same.
function makings({ baseline, candidate }) {
  const [before, after] = [baseline.made_by ?? {}, candidate.made_by ?? {}];
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (name) => String(before[name]) !== String(after[name]),
  );
  const title = element("h2", {}, "Made otherwise");
  if (baseline.made_by === null || candidate.made_by === null) {
    return [];
  }
  if (names.length === 0) {
    return [title, element("p", { class: "note" }, "Nothing that is known of how the two were made differs.")];
  }
  const rows = names.map((name) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      ...[before, after].map((side) => element("td", { class: "wrap" }, side[name] ?? "–")),
    ),
  );
  const table = tableOf(["what", "baseline", "candidate"], rows, { kind: "plain" });
  return [title, scrolled("Made otherwise", table)];
}
