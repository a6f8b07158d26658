/** What stands where content is not, or not yet: loading, empty, an error in words. */

import { Disconnected, Problem } from "../api.js";
import { connection } from "../connection.js";
import { h } from "../dom.js";

/** Grey lines where something will stand. @param {number} [lines] @param {string} [what] */
export function loading(lines = 4, what = "Loading") {
  const bars = Array.from({ length: lines }, (_, i) => h("span", { class: "bone", style: { width: `${92 - ((i * 23) % 40)}%` } }));
  return h("div", { class: "skeleton", role: "status", "aria-label": what }, bars);
}

/** @param {string} title @param {...import("../dom.js").Child} more */
export function empty(title, ...more) {
  return h("div", { class: "empty" }, h("p", { class: "empty-title" }, title), more.length > 0 && h("p", {}, more));
}

/**
 * An error in words, with what may help. What could not be asked is asked again when the server is back.
 * @param {unknown} error @param {() => void} [again]
 */
export function failure(error, again) {
  const retry = again && h("button", { type: "button", on: { click: again } }, "Try again");
  if (error instanceof Disconnected) {
    const waits = again && h("p", {}, "It will be asked again as soon as it is back.");
    const box = h("div", { class: "problem", role: "alert" }, h("p", { class: "problem-title" }, error.message), waits, retry);
    if (again) connection.addEventListener("restored", () => box.isConnected && again(), { once: true });
    return box;
  }
  if (!(error instanceof Problem)) {
    console.error(error);
    return h("div", { class: "problem", role: "alert" }, h("p", { class: "problem-title" }, "This page made a mistake"), h("p", {}, String(error)), retry);
  }
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", { class: "problem-title" }, titleOf(error)),
    error.errors.length === 0 && error.detail && error.status !== 404 && error.detail !== error.title && h("p", {}, error.detail),
    problemList(error.errors),
    error.status === 404 && h("p", {}, h("a", { href: "/sweeps" }, "All sweeps")),
    error.status !== 404 && error.status !== 422 && retry,
  );
}

/** @param {Problem["errors"]} errors */
export function problemList(errors) {
  if (errors.length === 0) return null;
  return h(
    "ul",
    { class: "problem-list" },
    errors.map(({ message, hint }) => h("li", {}, message, hint && h("span", { class: "hint" }, ` — ${hint}`))),
  );
}

/** An error in one line. @param {unknown} error */
export function said(error) {
  if (error instanceof Problem) {
    const first = error.errors[0];
    return first ? [first.message, first.hint].filter(Boolean).join(" — ") : error.message;
  }
  return error instanceof Error ? error.message : String(error);
}

/** @param {string} text */
function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function titleOf(error) {
  if (error.status === 403) return "Your token does not permit this";
  if (error.status === 404) return sentence(error.detail ?? "there is no such thing");
  if (error.status === 503) return "The server is busy, or its database is away";
  return error.title;
}
