/** The questions of the cookbook, and the sweep that is asked about: both boxes follow the query in the editor. */

import { Disconnected } from "../../api.js";
import { select } from "../../components/fields.js";
import { failure, loading } from "../../components/states.js";
import { fill, h } from "../../dom.js";

const SWEEP = /\bsweep_id = (\d+)\b/g;

/** The same query about another sweep. @param {string} sql @param {number} sweep */
function about(sql, sweep) {
  return sql.replaceAll(SWEEP, `sweep_id = ${sweep}`);
}

export class Questions {
  /** @param {HTMLTextAreaElement} editor @param {() => void} ask runs what stands in the editor @param {AbortSignal} signal */
  constructor(editor, ask, signal) {
    this.editor = editor;
    this.ask = ask;
    this.known = [];
    this.sweep = h("input", { id: "question-sweep", type: "number", min: 1, value: "1", on: { change: () => this.#move(), keydown: (event) => this.#enter(event) } });
    this.element = h("div", {}, loading(3, "Loading questions"));
    editor.addEventListener("input", () => this.follow());
    this.follow();
    this.ready = this.#load(signal);
  }

  async #load(signal) {
    try {
      this.known = await (await fetch("/dashboard/questions.json", { signal })).json();
      const options = [{ value: "", label: "your own query" }, ...this.known.map(({ question }, i) => ({ value: String(i), label: question }))];
      const box = select("Questions of the cookbook", options, "", (value) => this.#choose(value));
      this.box = box.querySelector("select");
      fill(this.element, h("div", { class: "controls" }, box, h("div", { class: "field narrow" }, h("label", { for: "question-sweep" }, "of sweep"), this.sweep)));
      this.follow();
    } catch (error) {
      if (!signal.aborted) fill(this.element, failure(error instanceof TypeError ? new Disconnected(true) : error, () => this.#load(signal)));
    }
  }

  /** Show what the editor asks, and about which sweep. */
  follow() {
    const [found] = this.editor.value.matchAll(SWEEP);
    if (found) this.sweep.value = found[1];
    if (this.box) this.box.value = String(this.#at(this.editor.value) ?? "");
  }

  /** What it means that there are no rows, where the query is a question of the cookbook. @param {string} sql @returns {string | null} */
  noRows(sql) {
    return this.known[this.#at(sql)]?.no_rows ?? null;
  }

  #at(sql) {
    const at = this.known.findIndex((known) => known.sql === about(sql.trim(), 1));
    return at < 0 ? null : at;
  }

  #choose(value) {
    if (value === "") return;
    this.editor.value = about(this.known[Number(value)].sql, Number(this.sweep.value) || 1);
    this.ask();
  }

  #move() {
    const moved = about(this.editor.value, Number(this.sweep.value) || 1);
    if (moved === this.editor.value) return;
    this.editor.value = moved;
    this.ask();
  }

  #enter(event) {
    if (event.key !== "Enter") return;
    event.preventDefault();
    this.editor.value = about(this.editor.value, Number(this.sweep.value) || 1);
    this.ask();
  }
}
