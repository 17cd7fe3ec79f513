// Dialogs with a form; what the server refuses is said beside the field that caused it.
import { element } from "./dom.js";
import { optionsOf } from "./parts.js";

// Ask for values. Resolves to what `submit` returned, or to null where one went back.
//   fields: `{name, label, value, note, kind, options, pointer, isShown, attributes}`; kind is text, number, area or select;
//     pointer is where the server says that a mistake is, without its beginning /body; isShown says by the values whether
//     the field matters.
//   verb: of the button.
//   submit: is called with the texts by name; what it throws keeps the dialog open.
export function formDialog(title, fields, verb, submit, { isWide = false } = {}) {
  return new Promise((resolve) => {
    const controls = new Map(fields.map((field) => [field.name, control(field)]));
    const fault = element("p", { class: "message error", role: "alert" });
    const form = element(
      "form",
      { class: "fields" },
      element("h2", {}, title),
      ...fields.map((field) => fieldOf(field, controls.get(field.name))),
      fault,
      element(
        "div",
        { class: "actions" },
        element("button", { type: "button", click: () => dialog.close() }, "Back"),
        element("button", { class: "main" }, verb),
      ),
    );
    const dialog = element("dialog", { class: isWide ? "wide" : null, "aria-label": title }, form);
    let answer = null;
    const values = () => Object.fromEntries([...controls].map(([name, node]) => [name, node.value]));
    const showFields = () => {
      for (const { name, isShown } of fields) {
        controls.get(name).closest(".field").hidden = isShown !== undefined && !isShown(values());
      }
    };
    form.addEventListener("input", showFields);
    showFields();
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      clear(form, fault);
      try {
        answer = await submit(values());
        dialog.close();
      } catch (error) {
        tell(error, fields, controls, fault);
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

function control({ name, value = "", kind = "text", options = [], attributes = {} }) {
  const shared = { id: `field-${name}`, "aria-describedby": `told-${name}`, ...attributes };
  if (kind === "select") {
    return element("select", shared, ...optionsOf(options, value));
  }
  return kind === "area"
    ? element("textarea", { rows: 4, ...shared }, value)
    : element("input", { type: kind, value, ...shared });
}

function fieldOf({ name, label, note = "" }, node) {
  return element(
    "div",
    { class: "field" },
    element("label", { for: node.id }, label),
    node,
    element(
      "span",
      { id: `told-${name}` },
      element("span", { class: "note" }, note),
      element("span", { class: "error" }),
    ),
  );
}

function clear(form, fault) {
  fault.textContent = "";
  for (const node of form.querySelectorAll("[aria-invalid]")) {
    node.removeAttribute("aria-invalid");
    faultOf(node).textContent = "";
  }
}

function tell(error, fields, controls, fault) {
  const left = [];
  for (const { pointer, detail, line } of error.errors ?? []) {
    const field = fieldAt(fields, pointer);
    if (field === undefined) {
      left.push(`${pointer}: ${detail}`);
      continue;
    }
    const node = controls.get(field.name);
    const place = faultOf(node);
    node.setAttribute("aria-invalid", "true");
    const inside = [line ? `line ${line}` : "", pointer.replace("/body", "").slice(field.pointer.length)]
      .filter(Boolean)
      .join(", ");
    place.textContent = [place.textContent, inside ? `${inside}: ${detail}` : detail].filter(Boolean).join("\n");
  }
  fault.textContent = error.errors?.length ? left.join("\n") : error.message;
  [...controls.values()].find((node) => node.hasAttribute("aria-invalid"))?.focus();
}

function fieldAt(fields, pointer) {
  const path = pointer.replace("/body", "");
  const around = fields.filter(
    (field) => field.pointer !== undefined && (path === field.pointer || path.startsWith(`${field.pointer}/`)),
  );
  return around.sort((one, other) => other.pointer.length - one.pointer.length)[0];
}

function faultOf(node) {
  return node.closest(".field").querySelector("span.error");
}
