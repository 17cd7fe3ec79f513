// The colours of figures in the dark theme: the API draws for paper; on a dark page ink and paper change places.

const INK = "#e6e9ee";
const DARK = {
  "#111111": INK,
  "#000000": INK,
  "#ffffff": "#14171c",
  "#c4c4c4": "#4a525c", // the high ground of a landscape, and its contours
  "#a8a8a8": "#6b7581",
  "#0072b2": "#5a7dff", // the one colour of a line that is too dark there; told from the sky blue beside it
};
const RGBA = { "rgba(0,0,0,": "rgba(230,233,238,", "rgba(0,114,178,": "rgba(90,125,255," };
const PLAIN = new Set(["x", "y", "z", "text", "customdata", "hovertemplate", "meta"]); // what has no colours, and is long

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
}

// Return a figure in the colours of the theme; in the light one as it is.
export function recoloured(figure) {
  return isDark() ? changed(figure) : figure;
}

function changed(value) {
  if (typeof value === "string") {
    const start = Object.keys(RGBA).find((one) => value.startsWith(one));
    return DARK[value.toLowerCase()] ?? (start === undefined ? value : RGBA[start] + value.slice(start.length));
  }
  if (Array.isArray(value)) {
    return typeof value[0] === "number" && value.every((one) => typeof one === "number") ? value : value.map(changed);
  }
  if (value === null || typeof value !== "object") {
    return value;
  }
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, PLAIN.has(name) ? one : changed(one)]));
}
