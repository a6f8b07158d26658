/** The same selection by keyboard, and what it means: a filter, the number of trials, a link to them. */

import { admits, wordOf } from "../../charts/brushes.js";
import { fill, h, uniqueId } from "../../dom.js";
import { counted, number } from "../../format.js";

/**
 * @param {HTMLElement} place
 * @param {{scales: import("../../charts/brushes.js").Scale[], brushes: Record<string, any>, trials: any[], filter: string,
 *   sweepId: number, onBrush: (name: string, brush: any) => void}} options
 */
export function brushEditor(place, { scales, brushes, trials, filter, sweepId, onBrush }) {
  const selected = trials.filter((trial) => scales.every(({ name }) => admits(brushes[name], trial[name])));
  const editing = place.querySelector("details")?.open ?? false;
  const address = `/sweeps/${sweepId}?${new URLSearchParams({ tab: "trials", filter })}`;
  fill(
    place,
    filter === ""
      ? h("p", { class: "chart-note" }, "Drag along an axis to select; click beside the selection to take it back. A line is a trial.")
      : h(
          "p",
          { class: "filter-line" },
          h("code", { class: "filter-text" }, filter),
          h("a", { href: address }, `Show ${counted(selected.length, "trial")}`),
          h("button", { type: "button", class: "quiet", on: { click: () => Object.keys(brushes).forEach((name) => onBrush(name, null)) } }, "Clear"),
        ),
    h("details", { class: "brush-form", open: editing }, h("summary", {}, "Select by numbers"), h("div", { class: "brush-grid" }, scales.map((scale) => field(scale, brushes[scale.name], onBrush)))),
  );
}

function field(scale, brush, onBrush) {
  if (scale.kind === "words") return wordsField(scale, brush, onBrush);
  const bound = (end, label, placeholder) =>
    h("input", {
      type: "number",
      step: "any",
      "aria-label": `${scale.label}: ${label}`,
      placeholder: number(placeholder, 3),
      value: brush?.[end] ?? "",
      on: {
        change: (event) => {
          const changed = { from: brush?.from ?? null, to: brush?.to ?? null, [end]: event.target.value === "" ? null : Number(event.target.value) };
          onBrush(scale.name, changed.from === null && changed.to === null ? null : changed);
        },
      },
    });
  return h("fieldset", { class: "brush-field" }, h("legend", {}, scale.label), bound("from", "at least", scale.low), h("span", { "aria-hidden": "true" }, "to"), bound("to", "at most", scale.high));
}

function wordsField(scale, brush, onBrush) {
  const chosen = new Set(brush?.words ?? []);
  return h(
    "fieldset",
    { class: "brush-field" },
    h("legend", {}, scale.label),
    scale.words.map((text) => {
      const id = uniqueId("word");
      const toggle = (event) => {
        if (event.target.checked) chosen.add(text);
        else chosen.delete(text);
        onBrush(scale.name, chosen.size === 0 ? null : { words: scale.words.filter((other) => chosen.has(wordOf(other))) });
      };
      return h("span", { class: "brush-word" }, h("input", { type: "checkbox", id, checked: chosen.has(text), "aria-label": `${scale.label}: ${text}`, on: { change: toggle } }), h("label", { for: id }, text));
    }),
  );
}
