/** Whether the server can be reached. One place knows; pages and streams ask again when it is back. */

import { fill, h } from "./dom.js";

const FIRST_MILLISECONDS = 1000;
const LONGEST_MILLISECONDS = 15000;

/** `lost` and `restored` are told here. */
export const connection = new EventTarget();

const state = { lost: false, wait: FIRST_MILLISECONDS, timer: 0, until: 0, ticking: 0 };

/** Somebody could not reach the server. */
export function reportLost() {
  if (state.lost) return;
  state.lost = true;
  state.wait = FIRST_MILLISECONDS;
  connection.dispatchEvent(new Event("lost"));
  plan();
}

export function isLost() {
  return state.lost;
}

function plan() {
  state.until = Date.now() + state.wait;
  clearTimeout(state.timer);
  state.timer = window.setTimeout(attempt, state.wait);
  state.wait = Math.min(LONGEST_MILLISECONDS, state.wait * 1.6);
  clearInterval(state.ticking);
  state.ticking = window.setInterval(show, 1000);
  show();
}

async function attempt() {
  clearTimeout(state.timer);
  try {
    const answer = await fetch("/readyz", { cache: "no-store" });
    if (!answer.ok) throw new TypeError("not ready");
  } catch {
    plan();
    return;
  }
  state.lost = false;
  clearInterval(state.ticking);
  show();
  connection.dispatchEvent(new Event("restored"));
}

/** What is said of it, at the top of the page. */
function show() {
  const place = document.getElementById("connection");
  if (!state.lost) {
    fill(place);
    return;
  }
  const seconds = Math.max(1, Math.round((state.until - Date.now()) / 1000));
  if (place.firstChild === null) {
    const wait = h("span", { "aria-hidden": "true" });
    const now = h("button", { type: "button", on: { click: attempt } }, "Try now");
    fill(place, h("p", { class: "lost" }, "Disconnected. What is shown may be old; trying again. ", wait, now));
  }
  place.querySelector("span").textContent = `In ${seconds} s. `;
}
