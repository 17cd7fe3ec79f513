// What a comparison says, in words and signs: never by colour alone, and always with its interval and margin.
import { get } from "./api.js";
import { element } from "./dom.js";
import { differenceTexts, measureTexts, plain } from "./measures.js";
import { scrolled, tableOf, textHead, valueCell } from "./parts.js";

const MARKS = {
  regressed: ["▼", "regressed"],
  undecided: ["?", "undecided"],
  improved: ["▲", "improved"],
  same: ["=", "the same"],
  not_tested: ["·", "not tested"],
};
export const WORST_FIRST = Object.keys(MARKS);
// What comparisons tell beside the measures of a table.
const FURTHER = {
  divergence_edge: {
    title: "divergence edge",
    unit: "decades",
    definition: "Decades (log10) of the learning rate at which training begins to diverge.",
  },
  best_lr: {
    title: "best lr",
    unit: "decades",
    definition: "Decades (log10) of the learning rate of the best configuration; neither direction is worse.",
  },
  best_rho: {
    title: "best rho",
    unit: "decades",
    definition: "Decades (log10) of the rho of the best configuration; neither direction is worse.",
  },
  cell_s: {
    title: "time a cell",
    unit: "seconds",
    definition: "Seconds of a cell trained by itself, from one short measurement.",
  },
  cell_bytes: {
    title: "memory a cell",
    unit: "bytes",
    definition: "Most bytes that the tensors of a cell hold at a time.",
  },
};
const CHANGE_COLUMNS = ["measure", "before", "after", "difference", "margin", "verdict"];
const OF_NUMBERS = new Set(["before", "after", "difference", "margin"]);
const MEGABYTES = 1e-6;
let asked = null;

// Return what the measures are called and what they mean, as the API has it, by name.
//   `listed`: those of a table alone, in their order.
export function definitions() {
  asked ??= get("/measures").then(named, (error) => {
    asked = null; // whoever asks next may be luckier
    throw error;
  });
  return asked;
}

function named(listed) {
  return { ...Object.fromEntries(listed.map((one) => [one.name, one])), ...FURTHER, listed };
}

export function verdictMark(verdict) {
  const [sign, word] = MARKS[verdict] ?? ["·", verdict.replace("_", " ")];
  return element("span", { class: `verdict ${verdict}` }, element("span", { "aria-hidden": "true" }, sign), ` ${word}`);
}

export function titleOf(name, known) {
  return known[name]?.title ?? name;
}

// A value in the unit of its measure; scores are normalised and have none.
export function amount(value, unit) {
  if (value === null || value === undefined) {
    return "–";
  }
  if (unit === "bytes") {
    return `${plain(value * MEGABYTES)} MB`;
  }
  const text = measureTexts({ value, low: null, high: null, flags: [] }, unit).value;
  return unit === "seconds" ? `${text} s` : text;
}

// A difference as texts: with its sign, and its interval or null, in the unit of its measure.
export function signed(value, unit, low = null, high = null) {
  const factor = unit === "bytes" ? MEGABYTES : 1;
  const [scaled, ...ends] = [value, low, high].map((one) => (one === null ? null : factor * one));
  return differenceTexts({ value: scaled, low: ends[0], high: ends[1], p_adjusted: null }, unit);
}

// A difference above its interval, in one cell.
function differenceCell({ difference, low, high, reason }, unit) {
  if (difference === null) {
    return valueCell({ title: reason }, "–");
  }
  const { value, interval } = signed(difference, unit, low, high);
  return valueCell({}, value, interval);
}

// What one reads beside a verdict: why it is none, or what would decide it.
function noteOf(change) {
  if (change.verdict === "undecided") {
    const needed = change.n_seeds_needed;
    return needed === null ? "more than 1,000 seeds would be needed" : `${needed} seeds would decide`;
  }
  return change.reason ?? "";
}

// A table of changes. Those of several optimizers name theirs.
//   known: of `definitions`.
//   caption: what the table is of.
export function changesTable(changes, known, caption, { isOfSeveral = false } = {}) {
  const names = isOfSeveral ? ["optimizer", "task"] : [];
  const hasNotes = changes.some(noteOf);
  const heads = [...names, ...CHANGE_COLUMNS, ...(hasNotes ? ["note"] : [])].map((name) => (OF_NUMBERS.has(name) ? name : textHead(name)));
  return scrolled(caption, tableOf(heads, changes.map((change) => changeRow(change, known, { isOfSeveral, hasNotes }))));
}

function changeRow(change, known, { isOfSeveral, hasNotes }) {
  const { unit = "score", definition } = known[change.name] ?? {};
  const title = element("span", { title: definition }, titleOf(change.name, known));
  const names = isOfSeveral
    ? [
        element("th", { scope: "row" }, change.optimizer),
        element("td", { class: "text" }, change.task),
        element("td", { class: "text" }, title),
      ]
    : [element("th", { scope: "row" }, title)];
  return element(
    "tr",
    {},
    ...names,
    element("td", {}, amount(change.before, unit)),
    element("td", {}, amount(change.after, unit)),
    differenceCell(change, unit),
    element("td", {}, change.margin === null ? "–" : `± ${amount(change.margin, unit)}`),
    element("td", { class: "text" }, verdictMark(change.verdict)),
    hasNotes ? element("td", { class: "text wrap note" }, noteOf(change)) : null,
  );
}
