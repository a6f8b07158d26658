/**
 * Whether the server can be reached. One place knows: who has a doubt asks here. While the server is away it is asked
 * again, ever more seldom, for as long as the page is seen; pages and streams go on when it is back.
 */

import { closeBanner, showBanner } from "./components/banner.js";

const FIRST_MILLISECONDS = 1000;
const LONGEST_MILLISECONDS = 15000;
/** How long an answer is waited for before it is asked for again: connections of old may be dead without a sign. */
const PATIENCE_MILLISECONDS = [2000, 3000, 4000];

/** `lost` and `restored` are told here; `restored` also when a token was given. */
export const connection = new EventTarget();

const state = {
  /** Why the server cannot serve, in words. @type {string | null} */
  why: null,
  /** Asks for the token without which it serves nothing. @type {(() => void) | null} */
  giveToken: null,
  wait: 0,
  until: 0,
  timer: 0,
  ticking: 0,
  /** The question that is under way, and how to send it once more. @type {Promise<boolean> | null} */
  asking: null,
  again: null,
};

export function isLost() {
  return state.why !== null || state.giveToken !== null;
}

/** Ask the server whether it is there; all who have a doubt wait for the same answer. @returns {Promise<boolean>} */
export function isThere() {
  state.asking ??= ask().finally(() => {
    state.asking = null;
  });
  return state.asking;
}

/** Wait until nothing is lost, or the signal aborts. @param {AbortSignal} signal @returns {Promise<void>} */
export function back(signal) {
  return new Promise((resolve) => {
    if (!isLost() || signal.aborted) {
      resolve();
      return;
    }
    const done = new AbortController();
    const end = () => {
      done.abort();
      resolve();
    };
    connection.addEventListener("restored", end, { signal: done.signal });
    signal.addEventListener("abort", end, { signal: done.signal });
  });
}

/** Whether an answer was made by a gateway, in place of a server that it cannot reach. @param {Response} answer */
export function isGateways(answer) {
  return answer.status >= 500 && !isJson(answer);
}

/** The server wants a token, and nobody gave one. @param {() => void} giveToken */
export function signedOut(giveToken) {
  const first = !isLost();
  state.giveToken = giveToken;
  if (first) connection.dispatchEvent(new Event("lost"));
  show();
}

/** A token was given. */
export function signedIn() {
  if (state.giveToken === null) return;
  state.giveToken = null;
  if (!isLost()) tellRestored();
}

async function ask() {
  clearTimeout(state.timer);
  const why = await whyAway();
  if (why !== null) lose(why);
  else if (state.why !== null) find();
  return why === null;
}

/** Why the server cannot serve, in words; null where it can. */
async function whyAway() {
  for (let i = 0; ; ) {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort("late"), PATIENCE_MILLISECONDS[i]);
    state.again = () => stop.abort("again");
    if (state.why !== null) show();
    try {
      return wordsOf(await fetch("/readyz", { cache: "no-store", signal: stop.signal }));
    } catch {
      if (!stop.signal.aborted) return "the server cannot be reached";
      i = stop.signal.reason === "again" ? 0 : i + 1;
      if (i === PATIENCE_MILLISECONDS.length) return "the server does not answer";
    } finally {
      clearTimeout(timer);
      state.again = null;
    }
  }
}

function wordsOf(answer) {
  if (!isJson(answer)) return `a gateway answers in place of the server (${answer.status})`;
  return answer.status < 500 ? null : "the server cannot reach its database";
}

function isJson(answer) {
  return (answer.headers.get("Content-Type") ?? "").includes("json");
}

function lose(why) {
  const first = state.why === null;
  const told = isLost();
  state.why = why;
  if (first) {
    state.wait = FIRST_MILLISECONDS;
    state.ticking = window.setInterval(show, 1000);
  }
  const wait = state.wait * (0.75 + Math.random() / 2); // not all pages at the same time
  state.wait = Math.min(LONGEST_MILLISECONDS, state.wait * 1.6);
  state.until = Date.now() + wait;
  if (!document.hidden) state.timer = window.setTimeout(isThere, wait);
  show();
  if (!told) connection.dispatchEvent(new Event("lost"));
}

function find() {
  state.why = null;
  clearInterval(state.ticking);
  if (state.giveToken === null) tellRestored();
  else show();
}

function tellRestored() {
  closeBanner();
  connection.dispatchEvent(new Event("restored"));
}

function show() {
  if (state.why === null) {
    showBanner("Signed out: this server asks for a token. What is shown may be old.", { label: "Give a token", action: state.giveToken });
    return;
  }
  const seconds = Math.max(1, Math.ceil((state.until - Date.now()) / 1000));
  const wait = state.again === null ? `Trying again in ${seconds} s.` : "Trying again.";
  showBanner(`Disconnected: ${state.why}. What is shown may be old.`, { wait, label: "Try now", action: tryNow });
}

/** Ask at once. A question that is under way may have been sent before the network came back. */
function tryNow() {
  state.again?.();
  isThere();
}

window.addEventListener("online", tryNow);
window.addEventListener("offline", isThere);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && state.why !== null) tryNow();
});
