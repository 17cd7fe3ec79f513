// Following the server: events as they come, with a button that stops them.
//
// A browser has six connections to a server over HTTP/1.1, and each follower keeps one: a page that nobody sees lets go.
import { get, ROOT } from "./api.js";
import { byId } from "./dom.js";
import { onState, parameter, setParameters } from "./url.js";

const WORDS = { live: "Live", paused: "Paused", waiting: "Connecting …", over: "Ended" };

// Follow a path of the API. Returns `{again, isLive}`: a function that begins again after the end, and one that says
// whether events come.
//   handlers: what is called with the data of an event, by its kind.
//   isOver: whether an event is the last one.
//   onAgain: is called when events come again after some may have been missed.
export function follow(path, handlers, { isOver = () => false, onAgain = null } = {}) {
  const button = byId("live");
  let source = null;
  let ended = false;
  let wasAway = false;
  button.hidden = false;

  function show(state) {
    button.dataset.state = state;
    button.textContent = WORDS[state];
    button.setAttribute("aria-pressed", String(state === "paused"));
    button.title = state === "paused" ? "Go on following the server" : "Stop following the server";
    button.disabled = state === "over";
  }

  function close(state) {
    source?.close();
    source = null;
    wasAway = true;
    show(state);
  }

  function opened() {
    show("live");
    if (wasAway) {
      wasAway = false;
      onAgain?.();
    }
  }

  function open() {
    if (source !== null || ended || document.hidden) {
      return;
    }
    if (parameter("live") === "off") {
      show("paused");
      return;
    }
    show("waiting");
    source = new EventSource(`${ROOT}/api/v1${path}`);
    source.addEventListener("open", opened);
    // The browser connects again by itself, unless the server refused: then this is a reader too many, or signed out.
    source.addEventListener("error", () => {
      wasAway = true;
      show("waiting");
      if (source?.readyState === EventSource.CLOSED) {
        source = null;
        get("/jobs?page_size=1").catch(() => null); // which leads whoever is signed out to where one signs in
        setTimeout(open, 5_000);
      }
    });
    for (const [kind, handler] of Object.entries(handlers)) {
      source.addEventListener(kind, (event) => {
        const data = JSON.parse(event.data);
        if (isOver(kind, data)) {
          ended = true;
          close("over");
        }
        handler(data);
      });
    }
  }

  button.addEventListener("click", () => {
    setParameters({ live: parameter("live") === "off" ? null : "off" });
  });
  onState(() => {
    const isOff = parameter("live") === "off";
    if (ended || isOff === (button.dataset.state === "paused")) {
      return;
    }
    if (isOff) {
      close("paused");
    } else {
      open();
    }
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && source !== null) {
      close("waiting");
    } else {
      open();
    }
  });
  window.addEventListener("pagehide", () => source?.close());
  open();
  wasAway = source === null;
  return {
    again() {
      ended = false;
      open();
    },
    isLive: () => button.dataset.state === "live",
  };
}
