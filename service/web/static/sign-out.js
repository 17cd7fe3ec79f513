// The button with which one signs out.
import { ROOT, send } from "./api.js";

document.getElementById("sign-out").addEventListener("click", async () => {
  try {
    await send("DELETE", "/session");
  } finally {
    location.assign(`${ROOT}/sign-in`);
  }
});
