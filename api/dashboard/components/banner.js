/** The one line at the top of the page that says why nothing is live. Its elements stay for as long as it does. */

import { fill, h, setText } from "../dom.js";

const LINGER_MILLISECONDS = 2000;

/** @type {{line: HTMLElement, words: HTMLElement, wait: HTMLElement, button: HTMLButtonElement} | null} */
let shown = null;
let act = () => {};
let timer = 0;

/**
 * @param {string} words why, and what it means for what is shown
 * @param {{wait?: string, label: string, action: () => void}} options `wait`: what is not read out each time it changes
 */
export function showBanner(words, { wait = "", label, action }) {
  clearTimeout(timer);
  shown ??= drawn();
  act = action;
  setText(shown.words, words);
  setText(shown.wait, wait);
  setText(shown.button, label);
}

/** Say that all is well, for a moment: nothing moves under a pointer that is on its way to the button. */
export function closeBanner() {
  if (shown === null) return;
  act = () => {};
  setText(shown.words, "Connected again.");
  setText(shown.wait, "");
  clearTimeout(timer);
  timer = window.setTimeout(() => {
    shown = null;
    fill(place());
  }, LINGER_MILLISECONDS);
}

function drawn() {
  const words = h("span", {});
  const wait = h("span", { "aria-hidden": "true" });
  const button = h("button", { type: "button", on: { click: () => act() } });
  const line = h("p", { class: "lost" }, words, " ", wait, " ", button);
  fill(place(), line);
  return { line, words, wait, button };
}

function place() {
  return document.getElementById("connection");
}
