/** Modal dialogs: the element of the platform, which traps the focus, closes by Escape and gives the focus back. */

import { h, uniqueId } from "../dom.js";

/**
 * Open a dialog and wait for its answer.
 * @param {{title: string, body: import("../dom.js").Child, action: string, danger?: boolean, cancel?: string}} options
 * @returns {Promise<boolean>} whether the action was chosen
 */
export function openDialog({ title, body, action, danger = false, cancel = "Cancel" }) {
  const heading = uniqueId("dialog");
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: heading }, title),
    h("div", { class: "dialog-body" }, body),
    h(
      "div",
      { class: "dialog-actions" },
      h("button", { type: "button", on: { click: () => dialog.close("") } }, cancel),
      h("button", { type: "submit", value: "yes", class: danger ? "danger" : "primary" }, action),
    ),
  );
  const dialog = h("dialog", { "aria-labelledby": heading }, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault(); // the policy of the page lets no form be sent
    dialog.close("yes");
  });
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}

/** Whether the reader is sure. @param {string} title @param {string} text @param {string} action */
export function confirmed(title, text, action) {
  return openDialog({ title, body: h("p", {}, text), action, danger: true, cancel: "Keep it" });
}
