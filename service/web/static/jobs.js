// The page with all jobs.
import { element, get, nDone, ROOT, when } from "./api.js";

const POLL_MS = 3000;
const message = document.getElementById("message");
const table = document.getElementById("jobs");

async function show() {
  try {
    const { items } = await get("/jobs?page_size=100");
    message.textContent = items.length ? "" : "No job yet. Submit one with: rhobust submit examples/quickstart.yaml";
    table.hidden = items.length === 0;
    table.tBodies[0].replaceChildren(...items.map(row));
  } catch (error) {
    message.textContent = `The server does not answer: ${error.message}`;
  }
  setTimeout(show, POLL_MS);
}

function row(job) {
  return element(
    "tr",
    {},
    element("td", {}, element("a", { href: `${ROOT}/jobs/${job.id}` }, job.name)),
    element("td", { class: job.state }, job.state),
    element("td", {}, `${nDone(job.progress)} of ${job.progress.total}`),
    element("td", {}, when(job.created_at)),
  );
}

show();
