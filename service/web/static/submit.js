// The page on which a job is made: by a form, by text, from another job, or as an extension of one.
import { get, getText, MAY_CHANGE, MAY_NOT, ROOT, send, withQuery } from "./api.js";
import { actionButton, byId, confirmed, element, say } from "./dom.js";
import { onEdit, setText, showErrors, text } from "./editor.js";
import { planView } from "./planview.js";
import { specForm } from "./specform.js";
import { onState, parameter, parameters, setParameters } from "./url.js";

const CHECK_MS = 400;
const cloned = parameter("clone");
const extended = parameter("extend");
const target = extended === null ? "/api/v1/jobs" : `/api/v1/jobs/${encodeURIComponent(extended)}/extend`;
const button = byId("submit");
let isEdited = false; // by hand, so that a form or a proposal must not write over it unasked
let ready = null; // the spec that is planned, and the key under which it is sent once, however often one clicks
let checks = 0;
let typing = null;
let nBefore = null; // cells of the job that is extended
let turn = 0;
let askedFor = null; // the choice of proposals that is shown or on its way

function changed(delay = CHECK_MS) {
  ready = null;
  checks += 1;
  button.disabled = true;
  const verdict = byId("verdict");
  verdict.classList.remove("error");
  verdict.textContent = "Checking …";
  clearTimeout(typing);
  typing = setTimeout(check, delay);
}

// Read the text, then ask for its price; what was asked for an older text is not shown.
async function check() {
  const mine = checks;
  try {
    const { spec } = await send("POST", "/api/v1/specs", { text: text() });
    const plan = await send("POST", `${target}?dry_run=true`, spec);
    if (mine === checks) {
      showErrors([]);
      byId("verdict").textContent = "The spec is valid.";
      showPlan(spec, plan);
    }
  } catch (error) {
    if (mine === checks) {
      showFault(error);
    }
  }
}

function showPlan(spec, plan) {
  byId("plan-body").replaceChildren(...planView(plan, nBefore));
  byId("plan").hidden = false;
  ready = { spec, key: newKey() };
  button.disabled = plan.cells === nBefore;
  button.title = button.disabled ? "Nothing is added yet." : "";
}

function showFault(error) {
  const errors = error.errors ?? [];
  const verdict = byId("verdict");
  byId("plan").hidden = true;
  showErrors(errors);
  verdict.classList.add("error");
  verdict.textContent = errors.length ? `${errors.length === 1 ? "One error" : `${errors.length} errors`}; nothing is submitted.` : error.message;
}

function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function submit() {
  if (ready === null || button.disabled) {
    return;
  }
  const { spec, key } = ready;
  button.disabled = true; // a second click finds nothing to do, and its key would make nothing again
  try {
    const job = await send("POST", target, spec, extended === null ? { idempotencyKey: key } : {});
    location.assign(`${ROOT}/jobs/${job.id}`);
  } catch (error) {
    showFault(error);
    say(error.message, { isError: true });
    button.disabled = false;
  }
}

// By hand: from here on a form or a proposal asks before it writes over the text.
function edited() {
  isEdited = true;
  byId("again")?.removeAttribute("hidden");
  changed();
}

async function write(value) {
  if (isEdited && !(await confirmed("Replace the text that you have edited?", "Replace"))) {
    return false;
  }
  isEdited = false;
  setText(value);
  changed(0);
  return true;
}

async function startForm() {
  const [tasks, optimizers, bases] = await Promise.all([get("/tasks"), get("/optimizers"), get("/bases")]);
  const form = specForm({ tasks, optimizers, bases }, (value) => {
    if (!isEdited) {
      setText(value);
      changed();
    }
  });
  const again = actionButton("Write the text by the form again", async () => {
    if (await write(form.text())) {
      again.hidden = true;
    }
  }, { id: "again", hidden: true });
  byId("helper-body").replaceChildren(again, form.element);
  setText(form.text());
  changed(0);
}

async function startClone() {
  const [job, found] = await Promise.all([get(`/jobs/${encodeURIComponent(cloned)}`), getText(`/jobs/${encodeURIComponent(cloned)}/spec`)]);
  byId("title").textContent = `Clone of ${job.name}`;
  byId("helper-title").textContent = "From";
  byId("helper-body").replaceChildren(
    element("p", {}, "The spec of ", element("a", { href: `${ROOT}/jobs/${job.id}` }, job.name), `, ${job.state}. Edit what is to be different; what was trained already is reused.`),
    element("p", {}, element("a", { href: `${ROOT}/submit` }, "Begin with the form instead")),
  );
  setText(found);
  changed(0);
}

async function startExtension() {
  const job = await get(`/jobs/${encodeURIComponent(extended)}`);
  byId("title").textContent = `Extend ${job.name}`;
  byId("helper-title").textContent = "Proposals";
  button.textContent = "Extend";
  nBefore = job.progress.total;
  onState(() => {
    if (proposalsPath() !== askedFor) {
      showProposals().catch((error) => say(error.message, { isError: true }));
    }
  });
  await showProposals();
}

function proposalsPath() {
  return withQuery(`/jobs/${encodeURIComponent(extended)}/extensions`, { choose: parameters("choose") });
}

// Show the proposals that the URL chooses, and the text that they make; an answer that a later one has overtaken is not.
async function showProposals() {
  const mine = (turn += 1);
  askedFor = proposalsPath();
  const found = await get(askedFor);
  if (mine !== turn) {
    return;
  }
  const focused = document.activeElement.id;
  const note = "Every cell of the job stays; the plan counts them as reused. Choose, or edit the text: denser or wider axes, more seeds, optimizers, tasks.";
  byId("helper-body").replaceChildren(
    element("p", { class: "note" }, note),
    element("ul", { class: "plain-list" }, ...found.proposals.map(proposalItem)),
    element("p", {}, `Together ${found.n_added.toLocaleString()} new cells.`),
  );
  byId(focused)?.focus();
  await write(found.text);
}

function proposalItem(proposal) {
  const box = element("input", { type: "checkbox", id: `proposal-${proposal.name}`, value: proposal.name });
  box.checked = proposal.is_chosen;
  box.addEventListener("change", async () => {
    if (isEdited && !(await confirmed("Replace the text that you have edited?", "Replace"))) {
      box.checked = !box.checked;
      return;
    }
    isEdited = false;
    const others = parameters("choose").filter((name) => name !== proposal.name);
    setParameters({ choose: box.checked ? [...others, proposal.name] : others }, { push: true });
  });
  const cells = element("span", { class: "quiet" }, `${proposal.n_added.toLocaleString()} new cells${proposal.reason ? `; ${proposal.reason}` : ""}`);
  return element("li", { class: "choice" }, box, element("label", { for: box.id }, proposal.title), cells);
}

async function start() {
  if (!MAY_CHANGE) {
    say(MAY_NOT, { isError: true });
    byId("submit-note").textContent = MAY_NOT;
    byId("text").readOnly = true;
    return;
  }
  onEdit(edited);
  button.addEventListener("click", submit);
  byId("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      submit();
    }
  });
  byId("submit-note").textContent = "Ctrl Enter in the text does the same.";
  try {
    await (extended !== null ? startExtension() : cloned !== null ? startClone() : startForm());
    say("");
  } catch (error) {
    say(error.message, { isError: true });
  }
}

start();
