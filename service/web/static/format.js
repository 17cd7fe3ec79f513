// Numbers, times and states as people read them.

const NONE = "–";
const AGES = [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]];

export function nDone(progress) {
  return progress.completed + progress.diverged + progress.timed_out + progress.failed;
}

// Cells with a record, and what those in flight come to.
export function reached(progress) {
  return Math.min(progress.total, nDone(progress) + (progress.in_flight?.done ?? 0));
}

// How far the cells in flight are, in words, or null.
export function flightText({ in_flight: flight }) {
  if (flight === null) {
    return null;
  }
  const some = flight.cells === 1 ? "1 cell in flight," : `${flight.cells.toLocaleString()} cells in flight, the furthest`;
  return `${some} ${Math.round(100 * flight.furthest)} % done`;
}

export function isEnded({ state }) {
  return ["completed", "failed", "cancelled"].includes(state);
}

// Three significant digits; `digits` where an interval says how many mean anything.
export function number(value, digits = 3) {
  if (value === null || value === undefined) {
    return NONE;
  }
  if (Math.abs(value) < 5e-7 && Math.abs(value) > 0) {
    return value.toExponential(1);
  }
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString() : String(Number(value.toPrecision(digits)));
}

export function percent(value) {
  return value === null || value === undefined ? NONE : `${(100 * value).toFixed(1)} %`;
}

// An ISO time in the reader's zone.
export function when(time) {
  return time === null || time === undefined ? NONE : new Date(time).toLocaleString();
}

// Seconds in the largest unit that leaves at least one and a half.
export function duration(seconds) {
  if (seconds === null || seconds === undefined) {
    return NONE;
  }
  const [unit, size] = AGES.find(([, one]) => seconds >= 1.5 * one) ?? AGES.at(-1);
  const value = seconds / size;
  return `${value < 10 && unit === "s" ? Number(value.toPrecision(2)) : Math.round(value)} ${unit}`;
}

export function age(time) {
  return time === null || time === undefined ? NONE : `${duration(Math.max(0, (Date.now() - new Date(time)) / 1000))} ago`;
}

// How long it is until a time.
export function until(time) {
  const seconds = (new Date(time) - Date.now()) / 1000;
  return seconds > 0 ? `in ${duration(seconds)}` : "now";
}

export function hyperparametersText(values) {
  return Object.entries(values).map(([name, value]) => `${name}=${typeof value === "number" ? number(value, 4) : value}`).join(" ");
}

// Hyperparameters that are written as `name=value`, as exact as they are, for people.
export function placeText(at) {
  return at.map(shortened).join(" ");
}

function shortened(place) {
  const [name, value] = place.split("=");
  return `${name}=${Number.isNaN(Number(value)) ? value : number(Number(value), 4)}`;
}

// A text for Plotly, which reads some markup in what it is given.
export function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
