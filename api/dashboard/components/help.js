/** What a word means, behind a question mark beside it. */

import { h } from "../dom.js";

const ALIGNMENT =
  "Gradient alignment: the cosine between the feedback signal and the true gradient at a layer's units, averaged over samples. 1: the same direction; 0: at right angles, as random vectors are. " +
  "Weight alignment: the cosine between a layer's weights and what the fixed feedback would have them be. 1: they have turned to the feedback.";

/** A button that shows the text, above all else. @param {string} name what is explained @param {string} text */
export function help(name, text) {
  const panel = h("p", { class: "help-text", popover: "auto" }, text);
  return h("span", { class: "help" }, h("button", { type: "button", class: "quiet", title: text, "aria-label": `What ${name} means`, popoverTargetElement: panel }, "?"), panel);
}

/** What the measures of alignment are. */
export function alignmentHelp() {
  return help("alignment", ALIGNMENT);
}
