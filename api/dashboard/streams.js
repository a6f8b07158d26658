/**
 * Which pages of this browser hold a stream. It opens six connections to a server and no more, so pages that each held one
 * would leave none for anything else: the last few that began to listen do, and the others look in now and then.
 */

const MOST = 3;
const channel = new BroadcastChannel("alignsweep-streams");
const own = crypto.getRandomValues(new Uint32Array(2)).join("-");

/** Since when other pages hold a stream. @type {Map<string, number>} */
const others = new Map();
/** @type {{since: number, crowded: () => void} | null} */
let mine = null;
/** Whether this page takes precedence: it is new, or somebody has turned to it. */
let first = true;

channel.addEventListener("message", ({ data: { page, since } }) => {
  if (since === null) others.delete(page);
  else others.set(page, since);
  if (mine !== null && later(mine.since) >= MOST) mine.crowded();
});

/** How many other pages hold a stream that began after this time; names decide between those of the same. */
function later(time) {
  return [...others].filter(([page, since]) => since > time || (since === time && page > own)).length;
}

/** Whether this page is to hold its stream, rather than to look in. */
export function mayHold() {
  return first || others.size < MOST;
}

/** Hold a stream until the function that is returned is called; `crowded` is when others need the place. @param {() => void} crowded */
export function hold(crowded) {
  first = false;
  mine = { since: Date.now(), crowded };
  channel.postMessage({ page: own, since: mine.since });
  return letGo;
}

function letGo() {
  if (mine === null) return;
  mine = null;
  channel.postMessage({ page: own, since: null });
}

/** Somebody turns to this page: of those that hold a stream it is now the last to be let go. */
const turnTo = () => {
  if (document.hidden) return;
  if (mine === null) first = true;
  else hold(mine.crowded);
};
window.addEventListener("focus", turnTo);
document.addEventListener("visibilitychange", turnTo);
window.addEventListener("pagehide", letGo);
