// An axis of a space in a form: an interval with its number of points, or values.
import { element } from "./dom.js";
import { labelled, numberOf, options } from "./fields.js";

// Return `{name, element, value({isGrid}), showCount(isGrid)}`; the value of an axis that is not swept is null.
export function axisField(name, start) {
  const scale = element("select", { name: `${name}.scale` }, ...options(["log", "linear", "values", ""], ["log", "linear", "values", "not swept"]));
  const low = numberInput(`${name}.low`, start.low);
  const high = numberInput(`${name}.high`, start.high);
  const n = element("input", { name: `${name}.n`, type: "number", min: 1, value: start.n });
  const values = element("input", { name: `${name}.values`, size: 20, value: `${start.low}, ${start.high}` });
  const count = labelled(`${name}: points`, n);
  const interval = [labelled(`${name}: lowest`, low), labelled(`${name}: highest`, high), count];
  const list = labelled(`${name}: values`, values);
  let showsCount = true;

  function show() {
    const isInterval = ["log", "linear"].includes(scale.value);
    interval.forEach((label) => { label.hidden = !isInterval; });
    count.hidden = !isInterval || !showsCount;
    list.hidden = scale.value !== "values";
  }
  scale.value = start.scale;
  scale.addEventListener("input", show);
  show();
  return {
    name,
    element: element("div", { class: "filters" }, labelled(name === "lr" ? "Learning rate (lr)" : name, scale), ...interval, list),
    showCount(isShown) {
      showsCount = isShown;
      show();
    },
    value({ isGrid }) {
      if (scale.value === "values") {
        return { values: values.value.split(",").filter((text) => text.trim()).map((text) => numberOf({ value: text })) };
      }
      if (scale.value === "") {
        return null;
      }
      return { [scale.value]: [numberOf(low), numberOf(high)], ...(isGrid ? { n: numberOf(n) } : {}) };
    },
  };
}

function numberInput(name, value) {
  return element("input", { name, inputmode: "decimal", size: 8, value });
}
