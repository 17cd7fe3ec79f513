// Figures of the API, drawn by Plotly in the colours of the page, each with its downloads.
import { get, ROOT, withQuery } from "./api.js";
import { element, say } from "./dom.js";
import { recoloured } from "./figure-colours.js";
import { escaped } from "./format.js";

const FILES = ["svg", "png", "pdf", "csv"];
const OPTIONS = { responsive: true, displaylogo: false, displayModeBar: false };
const PANEL_PIXELS = 170; // at least; a figure of many panels is scrolled on a narrow screen
const HEIGHT_PIXELS = 400;
const IMAGE = { width: 900, titleRoom: 60, pngScale: 2 }; // of what a page draws itself
const drawn = new Set();
let loading = null;

// Plotly is five megabytes: it is fetched when the first figure wants it, and the text of a page does not wait.
function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = element("script", { src: `${ROOT}/assets/plotly.min.js` });
    script.addEventListener("load", () => resolve(globalThis.Plotly));
    script.addEventListener("error", () => reject(new Error("Plotly's script did not come; load the page again.")));
    document.head.append(script);
  });
  return loading;
}

// Return an element with a figure of the API, its title and its downloads, which fills itself; its method `refresh`
// asks for the figure again.
//   title: what it shows.
//   path: of the figure, such as /jobs/ID/figures/heatmap.
//   parameters: of the request.
//   clicked: is called with Plotly's point when one clicks at it.
//   told: is called with the figure when it has come.
export function figureCard(title, path, parameters = {}, { clicked = null, told = null } = {}) {
  const links = FILES.map((format) =>
    element("a", { href: `${ROOT}/api/v1${withQuery(path, { ...parameters, format })}`, download: true }, format),
  );
  const frame = framed(title, links);
  const { card } = frame;
  card.refresh = () => fill(frame, withQuery(path, { ...parameters, format: "json" }), { clicked, told });
  card.refresh();
  return card;
}

// Return the frame of a figure: the whole, where it is drawn, the note below it, and a function that gives it a title.
export function framed(title, downloads) {
  const place = element("div", { class: "plot", role: "img" });
  const region = element("div", { class: "scroll", tabindex: 0, role: "region" }, place);
  const caption = element("span");
  const note = element("p", { class: "note" }, "Loading …");
  const head = element("figcaption", {}, caption, element("span", { class: "downloads" }, ...downloads));
  const entitle = (text) => {
    caption.textContent = text;
    place.setAttribute("aria-label", text);
    region.setAttribute("aria-label", text);
  };
  entitle(title);
  return { card: element("figure", { class: "figure" }, head, region, note), place, note, entitle };
}

async function fill({ card, place, note }, path, { clicked, told }) {
  try {
    const [figure] = await Promise.all([get(path), plotly()]);
    note.textContent = noteOf(figure);
    showParts(card, true);
    await draw(place, figure);
    heard(place, clicked);
    told?.(figure);
  } catch (error) {
    note.textContent = error.message;
    showParts(card, false);
    forget(place);
  }
}

function showParts(card, areShown) {
  card.querySelector(".scroll").hidden = !areShown;
  card.querySelector(".downloads").hidden = !areShown;
}

// Have clicks heard, once however often a figure is drawn.
export function heard(place, clicked) {
  if (clicked !== null && place.figure !== undefined) {
    place.removeAllListeners("plotly_click");
    place.on("plotly_click", (event) => clicked(event.points[0]));
  }
}

// Give back what Plotly keeps of a place: it draws from nothing next time.
function forget(place) {
  if (drawn.delete(place)) {
    globalThis.Plotly.purge(place);
  }
  delete place.figure;
  place.replaceChildren();
}

// What a figure says below itself; on a page it is a text that wraps.
function noteOf({ layout }) {
  const text = (layout.annotations ?? []).find(({ name }) => name === "note")?.text ?? "";
  const parsed = new DOMParser().parseFromString(text.replaceAll("<br>", " "), "text/html");
  return parsed.body.textContent;
}

// Draw `{data, layout}` in a place, or draw it anew; one that left the page meanwhile is not drawn.
export async function draw(place, figure) {
  const library = await plotly();
  [...drawn].filter((one) => !one.isConnected).forEach(forget);
  if (!place.isConnected) {
    return;
  }
  place.figure = figure;
  drawn.add(place);
  const panels = Object.keys(figure.layout).filter((name) => /^xaxis\d*$/.test(name)).length;
  place.style.minWidth = panels > 1 ? `${panels * PANEL_PIXELS}px` : "";
  const { data, layout } = recoloured(figure);
  await library.react(place, data, forPage(layout), OPTIONS);
}

// The page has the title and the note of a figure in its own text, and its own ground.
function forPage(layout) {
  const { title, ...rest } = layout;
  const annotations = (layout.annotations ?? []).filter(({ name }) => name !== "note");
  const margin = { ...layout.margin, t: title === undefined ? layout.margin?.t : 40 };
  return { height: HEIGHT_PIXELS, ...rest, annotations, margin, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" };
}

// Save `{data, layout}` as a file, on white as it would be printed.
export async function saveImage({ data, layout }, title, file, format) {
  const library = await plotly();
  const margin = { ...layout.margin, t: IMAGE.titleRoom };
  const whole = { data, layout: { ...layout, margin, title: { text: escaped(title), x: 0.01, font: { size: 14 } } } };
  const scale = format === "png" ? IMAGE.pngScale : 1;
  await library.downloadImage(structuredClone(whole), { format, filename: file, width: IMAGE.width, height: layout.height, scale });
}

// Do something once when an element comes near the window.
export function whenSeen(place, action) {
  const observer = new IntersectionObserver(
    (entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        observer.disconnect();
        action();
      }
    },
    { rootMargin: "300px" },
  );
  observer.observe(place);
}

document.addEventListener("theme", () => {
  for (const place of drawn) {
    draw(place, place.figure).catch((error) => say(error.message, { isError: true }));
  }
});
