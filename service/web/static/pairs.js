// What stands beside a robustness table: ranks with the places that are not ruled out, paired differences, and wins.
import { element } from "./dom.js";
import { differenceTexts, measureTexts } from "./measures.js";
import { scrolled, tableOf, valueCell } from "./parts.js";

// Return the sections on a task that there is something to say in.
export function comparisons(table, task, definitions) {
  const own = (list) => list.filter((one) => one.task === task.task);
  return [ranksTable(own(table.rows), task), pairsTable(own(table.differences), own(table.wins), task, definitions), sensitivity(table, task)].filter(Boolean);
}

function ranksTable(rows, task) {
  const ranked = rows.filter((row) => row.rank !== null).sort((one, other) => one.rank.value - other.rank.value);
  if (ranked.length < 2) {
    return null;
  }
  const places = ranked.map((_, index) => index + 1);
  const heads = ["Optimizer", ...places.map(String)];
  const body = ranked.map(({ optimizer, rank }) => element("tr", {}, element("th", { scope: "row" }, optimizer), ...places.map((place) => placeCell(rank, place))));
  const { level, method } = ranked[0].rank;
  const caption = `● its rank by grid mean, ○ a rank that is not ruled out at ${100 * level} % (${method}).`;
  return folded(`Ranks on ${task.task}`, tableOf(heads, body, { caption, kind: "ranks" }));
}

function placeCell({ value, low, high }, place) {
  const [mark, words] = place === value ? ["●", "its rank"] : place >= low && place <= high ? ["○", "possible"] : ["", "ruled out"];
  return element("td", { class: place >= low && place <= high ? "possible" : null }, element("span", { "aria-hidden": "true" }, mark), element("span", { class: "hidden" }, words));
}

// Return the paired differences between the rows of a task, folded unless they are what one came for; null where no two
// rows can be compared.
export function pairsTable(differences, wins, task, definitions, { isOpen = false } = {}) {
  const pairs = new Map(differences.map((one) => [`${one.first}\n${one.second}`, one]));
  if (pairs.size === 0) {
    return null;
  }
  const measures = [...new Set(differences.map(({ measure }) => measure))].map((name) => definitions.find((one) => one.name === name));
  const heads = ["Pair", ...measures.map(({ title }) => title), "Wins of the first"];
  const body = [...pairs.values()].map(({ first, second }) => {
    const of = (list) => list.filter((one) => one.first === first && one.second === second);
    const cells = measures.map(({ name, unit }) => differenceCell(of(differences).find((one) => one.measure === name), unit, task));
    return element("tr", {}, element("th", { scope: "row" }, `${first} − ${second}`), ...cells, winsCell(of(wins)[0]));
  });
  const caption = "First less second, paired by seed; bold where the interval excludes zero and the test agrees. " +
    "p is corrected by Holm over all pairs of the task. Wins: share of the cells in which the first has the better score; a tie counts half.";
  return folded(`Paired differences on ${task.task}`, tableOf(heads, body, { caption }), { isOpen });
}

function differenceCell(difference, unit, task) {
  if (difference === undefined) {
    return element("td", {}, "–");
  }
  const { value, interval, p } = differenceTexts(difference, unit);
  const needed = difference.n_seeds_needed;
  const isDecided = difference.p_adjusted !== null && difference.p_adjusted <= 1 - (difference.level ?? 0.95);
  const more = !isDecided && needed !== null && needed > task.n_seeds ? `${needed} seeds would show the tolerance` : null;
  const clear = isClear(difference) ? element("span", { class: "hidden" }, " (the interval excludes zero)") : null;
  return valueCell({ class: clear === null ? null : "leads", title: difference.reason }, [value, clear], interval, p, more);
}

function isClear({ low, high, p_value: p, level }) {
  return low !== null && (low > 1e-9 || high < -1e-9) && (p === null || p <= 1 - level);
}

function winsCell(wins) {
  if (wins === undefined) {
    return element("td", {}, "–");
  }
  const { value, interval } = measureTexts({ ...wins, value: wins.share, flags: [] }, "share");
  return valueCell({ title: wins.reason }, value, interval);
}

// The sensitivity of each optimizer across tasks stands under the first of them.
function sensitivity(table, task) {
  const known = table.across_tasks.filter(({ measures }) => measures.phi.value !== null);
  if (task !== table.tasks[0] || known.length === 0) {
    return null;
  }
  const body = known.map(({ optimizer, measures }) => element("tr", {}, element("th", { scope: "row" }, optimizer), element("td", {}, measureTexts(measures.phi, "score").value)));
  const caption = "Sensitivity (Phi): what one configuration for all tasks costs; lower is better.";
  return folded("Across tasks", tableOf(["Optimizer", "Phi"], body, { caption }));
}

function folded(title, table, { isOpen = false } = {}) {
  return element("details", { class: "beside", open: isOpen, "data-key": title }, element("summary", {}, title), scrolled(title, table));
}
