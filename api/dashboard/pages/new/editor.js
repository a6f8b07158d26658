/** A text area with the numbers of its lines, and marks on those where something is wrong. */

import { fill, framed, h, uniqueId } from "../../dom.js";

export class SpecEditor {
  constructor() {
    this.id = uniqueId("spec");
    this.onInput = () => {};
    /** @type {Map<number, {kind: string, message: string}>} */
    this.marks = new Map();
    this.area = h("textarea", { id: this.id, class: "editor code", rows: 24, spellcheck: false, wrap: "off", autocomplete: "off" });
    this.gutter = h("div", { class: "gutter", "aria-hidden": "true" });
    this.element = h("div", { class: "spec-editor" }, this.gutter, this.area);
    this.paint = framed(() => this.#paint());
    this.area.addEventListener("input", () => {
      this.paint();
      this.onInput();
    });
    this.area.addEventListener("scroll", () => {
      this.gutter.scrollTop = this.area.scrollTop;
    });
  }

  get text() {
    return this.area.value;
  }

  set text(value) {
    this.area.value = value;
    this.paint();
  }

  /** @param {{line?: number, message: string}[]} problems @param {string} [kind] */
  mark(problems, kind = "error") {
    this.marks = new Map(problems.filter(({ line }) => line).map(({ line, message }) => [line, { kind, message }]));
    if (kind === "error" && problems.length > 0) this.area.setAttribute("aria-invalid", "true");
    else this.area.removeAttribute("aria-invalid");
    this.paint();
  }

  /** @param {number} line from 1 @param {number} column */
  goTo(line, column) {
    const lines = this.area.value.split("\n");
    const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
    this.area.focus();
    this.area.setSelectionRange(start + column - 1, start + (lines[line - 1]?.length ?? 0));
  }

  #paint() {
    const count = this.area.value.split("\n").length;
    fill(
      this.gutter,
      Array.from({ length: count }, (_, i) => {
        const mark = this.marks.get(i + 1);
        return h("span", { class: mark ? `line line-${mark.kind}` : "line", title: mark?.message }, i + 1);
      }),
    );
    this.gutter.scrollTop = this.area.scrollTop;
  }
}
