// The page that asks for a key. A browser brings no cookie along on the way from another site's link: whoever is signed
// in already is led on from here.
import { ROOT, send } from "./api.js";

const form = document.getElementById("sign-in");
const message = document.getElementById("message");

function goOn() {
  const home = new URL(`${ROOT}/`, location.origin);
  const next = new URL(new URLSearchParams(location.search).get("next") ?? home, home);
  next.hash ||= location.hash; // where the server led here, the browser kept it
  location.replace(next.origin === location.origin ? next : home);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  message.textContent = "";
  const field = document.getElementById("key");
  try {
    await send("POST", "/session", { key: field.value.trim() });
    goOn();
  } catch (error) {
    message.textContent = error.message;
    field.select();
  }
});

if ((await fetch(`${ROOT}/session`)).ok) {
  goOn();
}
