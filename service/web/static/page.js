// What every page has: the theme, the keys, the number of open alerts, and signing out.
import { ROOT, send } from "./api.js";
import { countOpenAlerts } from "./badge.js";
import { byId } from "./dom.js";
import "./keys.js";

const theme = byId("theme");
theme.value = document.documentElement.dataset.theme;
theme.addEventListener("change", () => {
  document.documentElement.dataset.theme = theme.value;
  if (theme.value === "system") {
    localStorage.removeItem("theme");
  } else {
    localStorage.setItem("theme", theme.value);
  }
  document.dispatchEvent(new Event("theme"));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("theme")));

byId("sign-out")?.addEventListener("click", async () => {
  await send("DELETE", "/session").catch(() => null); // the next page says what holds
  location.assign(`${ROOT}/sign-in`);
});

if (document.documentElement.dataset.scope) {
  setTimeout(countOpenAlerts); // the page itself goes first
}
