/** Short notes on what was done, which go by themselves; errors stay until they are dismissed. */

import { h } from "../dom.js";
import { said } from "./states.js";

const SHOWN_MILLISECONDS = 5000;

/** @param {string} text */
export function toast(text) {
  const note = h("p", { class: "toast" }, text);
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), SHOWN_MILLISECONDS);
}

/** @param {unknown} error */
export function toastError(error) {
  const note = h("p", { class: "toast toast-error", role: "alert" }, said(error));
  note.append(h("button", { type: "button", class: "quiet", on: { click: () => note.remove() } }, "Dismiss"));
  document.getElementById("toasts").append(note);
}
