// Fields of forms, and what stands in them.
import { element } from "./dom.js";

export function labelled(text, field) {
  return element("label", { class: "field" }, text, field);
}

export function options(values, titles = values) {
  return values.map((value, place) => element("option", { value }, titles[place]));
}

// The number in a field; what is none stays the text that it is, for the server to say what is wrong with it.
export function numberOf(field) {
  const text = field.value.trim();
  return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
}

// Fields for hyperparameters, whose defaults hold where nothing is written; `value()` has what is.
export function hyperparameterFields(hyperparameters, owner) {
  const fields = hyperparameters.map((one) => [one.name, fieldOf(one, owner)]);
  return {
    elements: fields.map(([name, field]) => labelled(name, field)),
    value() {
      const given = fields.filter(([, field]) => field.value !== "");
      return Object.fromEntries(given.map(([name, field]) => [name, field.tagName === "SELECT" ? field.value === "true" : numberOf(field)]));
    },
  };
}

function fieldOf({ name, kind, default: usual, description }, owner) {
  const attributes = { name: `${owner}.${name}`, title: description };
  if (kind === "bool") {
    return element("select", attributes, ...options(["", "true", "false"], [`default (${usual})`, "true", "false"]));
  }
  return element("input", { ...attributes, inputmode: "decimal", size: 8, placeholder: usual === null ? "needed" : String(usual) });
}
