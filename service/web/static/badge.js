// The number of open alerts beside their link in the navigation of every page.
import { get } from "./api.js";
import { byId } from "./dom.js";

// Ask for the number and show it; where the server does not answer, the page itself says so.
export async function countOpenAlerts() {
  const place = byId("open-alerts");
  const count = await get("/alerts?state=open&page_size=1").then(
    ({ counts }) => counts.open,
    () => 0,
  );
  place.hidden = count === 0;
  place.textContent = count === 0 ? "" : `${count} open`;
}
