/** Labelled controls that are bound to the state of a view. */

import { h, uniqueId } from "../dom.js";

/** @typedef {{value: string, label: string}} Option */

/**
 * @param {string} label @param {Option[]} options @param {string} value @param {(value: string) => void} onChange
 */
export function select(label, options, value, onChange) {
  const id = uniqueId("select");
  const chosen = options.some((option) => option.value === value) ? value : options[0]?.value;
  return h(
    "div",
    { class: "field" },
    h("label", { for: id }, label),
    h(
      "select",
      { id, on: { change: (event) => onChange(event.target.value) } },
      options.map((option) => h("option", { value: option.value, selected: option.value === chosen }, option.label)),
    ),
  );
}

/** @param {string} label @param {boolean} value @param {(value: boolean) => void} onChange */
export function check(label, value, onChange) {
  const id = uniqueId("check");
  return h(
    "div",
    { class: "field field-check" },
    h("input", { id, type: "checkbox", checked: value, on: { change: (event) => onChange(event.target.checked) } }),
    h("label", { for: id }, label),
  );
}

/** A choice of few, side by side. @param {string} label @param {Option[]} options @param {string} value @param {(value: string) => void} onChange */
export function segments(label, options, value, onChange) {
  const name = uniqueId("segments");
  return h(
    "fieldset",
    { class: "field segments" },
    h("legend", {}, label),
    h(
      "div",
      { class: "segment-row" },
      options.map((option) => {
        const id = uniqueId("segment");
        return [
          h("input", { type: "radio", id, name, value: option.value, checked: option.value === value, on: { change: () => onChange(option.value) } }),
          h("label", { for: id }, option.label),
        ];
      }),
    ),
  );
}

/**
 * A line of text that is taken when it is entered or left.
 * @param {string} label @param {string} value @param {(value: string) => void} onChange
 * @param {Record<string, any>} [more] properties of the input
 */
export function line(label, value, onChange, more = {}) {
  const id = uniqueId("line");
  const input = h("input", { id, type: "text", value, spellcheck: false, autocomplete: "off", ...more });
  input.addEventListener("change", () => onChange(input.value.trim()));
  return h("div", { class: "field" }, h("label", { for: id }, label), input);
}
