// The other figures of a job: one at a time, chosen by a tab, asked for when somebody looks at it.
import { get } from "./api.js";
import { byId, element } from "./dom.js";
import { figureCard, whenSeen } from "./figures.js";
import { chosen, openPoint } from "./maps.js";
import { onState, parameter, setParameters } from "./url.js";

const TITLES = {
  profiles: "Performance profiles",
  tuning: "Best after k trials",
  slices: "Sensitivity",
  ranks: "Ranks",
  curves: "Learning curves",
  difference: "Differences",
  sharpness: "Sharpness",
  trajectories: "Trajectories",
};
let kinds = null;
let job = null;
let card = null;
let shownAs = null;
let isSeen = false;

export async function showFigures(shownJob) {
  job = shownJob;
  if (kinds === null) {
    const listed = await get("/figures");
    const order = Object.keys(TITLES);
    kinds = listed.filter(({ name }) => name !== "heatmap").sort((one, other) => order.indexOf(one.name) - order.indexOf(other.name));
    showTabs();
    whenSeen(byId("other-figures"), () => {
      isSeen = true;
      show();
    });
  } else if (isSeen) {
    card?.refresh();
  }
}

function current() {
  return kinds.find(({ name }) => name === parameter("figure")) ?? kinds[0];
}

function choiceText() {
  return JSON.stringify([current().name, chosen()]);
}

function showTabs() {
  const buttons = kinds.map(({ name }) => {
    const button = element("button", { type: "button", "aria-pressed": String(name === current().name), "data-figure": name }, TITLES[name] ?? name);
    button.addEventListener("click", () => setParameters({ figure: name === kinds[0].name ? null : name }, { push: true }));
    return button;
  });
  byId("figure-tabs").replaceChildren(...buttons);
}

function show() {
  const kind = current();
  shownAs = choiceText();
  for (const button of byId("figure-tabs").children) {
    button.setAttribute("aria-pressed", String(button.dataset.figure === kind.name));
  }
  byId("figure-note").textContent = kind.description;
  card = figureCard(TITLES[kind.name] ?? kind.name, `/jobs/${job.id}/figures/${kind.name}`, chosen(), { clicked: openPoint });
  byId("figure").replaceChildren(card);
}

onState(() => {
  if (isSeen && choiceText() !== shownAs) {
    show();
  }
});
