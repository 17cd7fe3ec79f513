// Writing a spec as YAML that people read and edit: a line a key, and a line an entry of its lists.

const PLAIN = /^[A-Za-z][A-Za-z0-9_.-]*$/;
const WORDS = new Set(["true", "false", "yes", "no", "on", "off", "null"]); // which YAML takes for other things

export function specText(document) {
  return `${Object.entries(document).flatMap(([name, value]) => lines(name, value)).join("\n")}\n`;
}

function lines(name, value) {
  if (Array.isArray(value) && value.some((one) => typeof one === "object")) {
    return [`${flow(name)}:`, ...value.map((one) => `  - ${flow(one)}`)];
  }
  if (name === "space" && Object.keys(value).length > 1) {
    return [`${flow(name)}:`, ...Object.entries(value).map(([axis, values]) => `  ${flow(axis)}: ${flow(values)}`)];
  }
  return [`${flow(name)}: ${flow(value)}`];
}

function flow(value) {
  if (Array.isArray(value)) {
    return `[${value.map(flow).join(", ")}]`;
  }
  if (value !== null && typeof value === "object") {
    return `{${Object.entries(value).map(([name, one]) => `${flow(name)}: ${flow(one)}`).join(", ")}}`;
  }
  if (typeof value === "number") {
    return String(value).replace(/^(-?\d+)e/, "$1.0e"); // without a point YAML reads a text
  }
  const isPlain = typeof value !== "string" || (PLAIN.test(value) && !WORDS.has(value.toLowerCase()));
  return isPlain ? String(value) : JSON.stringify(value);
}
