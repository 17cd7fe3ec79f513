// Measures as texts: rounded by their intervals, so that no digit is shown that the seeds do not know.

const MAX_DECIMALS = 6;
const NO_WIDTH = 1e-9;
const DECIMALS = { score: 3, share: 1, decades: 2 };
const MIN_P = 0.001;

// Four significant digits, without an exponent where a number can be read without one.
export function plain(value) {
  const text = value.toPrecision(4);
  return Math.abs(value) >= 1e-4 && Math.abs(value) < 1e6 ? Number(text).toLocaleString(undefined, { maximumSignificantDigits: 4 }) : String(Number(text));
}

// Return the texts of a measure: its value with what it rests on, and its interval or null. Shares are in per cent.
export function measureTexts(measure, unit) {
  if (measure === undefined || measure.value === null) {
    return { value: "–", interval: null };
  }
  if (!(unit in DECIMALS)) {
    return { value: plain(measure.value), interval: null };
  }
  const factor = unit === "share" ? 100 : 1;
  let decimals = DECIMALS[unit];
  let interval = null;
  if (measure.low !== null && measure.high !== null) {
    decimals = decimalsOf((factor * (measure.high - measure.low)) / 2, decimals);
    decimals = unit === "share" ? Math.min(decimals, DECIMALS.share) : decimals;
    interval = between(factor * measure.low, factor * measure.high, decimals);
  }
  const bound = measure.flags.some((flag) => flag.startsWith("censored")) ? "≥ " : "";
  const part = measure.flags.includes("incomplete") ? "°" : "";
  return { value: `${bound}${fixed(factor * measure.value, decimals)}${unit === "share" ? " %" : ""}${part}`, interval };
}

// Return the texts of a paired difference: with its sign, its interval or null, and its p-value or null.
export function differenceTexts(difference, unit = "score") {
  const factor = unit === "share" ? 100 : 1;
  const { low, high, value, p_adjusted: p } = difference;
  const known = low !== null && high !== null;
  const decimals = known ? decimalsOf((factor * (high - low)) / 2, DECIMALS[unit] ?? 3) : DECIMALS[unit] ?? 3;
  const text = fixed(factor * value, decimals);
  return {
    value: `${value > 0 && !text.startsWith("−") ? "+" : ""}${text}${unit === "share" ? " %" : ""}`,
    interval: known ? between(factor * low, factor * high, decimals) : null,
    p: p === null || p === undefined ? null : p < MIN_P ? "p < 0.001" : `p = ${p.toFixed(3)}`,
  };
}

function between(low, high, decimals) {
  return `${fixed(low, decimals)} to ${fixed(high, decimals)}`;
}

// How many decimals tell what an interval knows: two significant digits of half its width.
function decimalsOf(halfWidth, otherwise) {
  return halfWidth > NO_WIDTH ? Math.min(Math.max(1 - Math.floor(Math.log10(halfWidth)), 0), MAX_DECIMALS) : otherwise;
}

function fixed(value, decimals) {
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}
