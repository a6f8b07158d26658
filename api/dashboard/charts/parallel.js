/** Parallel coordinates on a canvas: a line per trial, an axis per parameter and outcome, ranges selected by dragging. */

import { colours } from "./plotly.js";
import { admits, heightOf, valueAt } from "./brushes.js";
import { counted, number } from "../format.js";
import { framed, h } from "../dom.js";

const [TOP, BOTTOM, SIDE] = [34, 22, 12];
const HEIGHT = 320;
const LEAST_WIDTH = 104;
const MOST_WORDS = 20;
const WORDS = "11px system-ui, sans-serif";

/**
 * @typedef {import("./brushes.js").Scale} Scale
 * @typedef {import("./brushes.js").Brush} Brush
 */

export class ParallelCoordinates {
  /** @param {{onBrush: (name: string, brush: Brush | null) => void, signal: AbortSignal}} options */
  constructor({ onBrush, signal }) {
    this.onBrush = onBrush;
    this.canvas = h("canvas", { class: "parallel", role: "img" });
    this.element = h("div", { class: "parallel-box", tabIndex: 0, role: "region", "aria-label": "Parallel coordinates, to scroll" }, this.canvas);
    /** @type {Scale[]} */
    this.scales = [];
    this.left = SIDE;
    this.rows = [];
    /** @type {Record<string, Brush>} */
    this.brushes = {};
    this.colourOf = () => "#888888";
    this.paint = framed(() => this.#paint());
    this.canvas.addEventListener("pointerdown", (event) => this.#drag(event));
    const observer = new ResizeObserver(() => this.paint());
    observer.observe(this.element);
    document.addEventListener("theme", () => this.paint(), { signal });
    signal.addEventListener("abort", () => observer.disconnect());
  }

  /** @param {{scales: Scale[], rows: any[], brushes: Record<string, Brush>, colourOf: (row: any) => string}} shown */
  show({ scales, rows, brushes, colourOf }) {
    Object.assign(this, { scales, rows, brushes, colourOf });
    this.canvas.setAttribute("aria-label", `Parallel coordinates of ${counted(rows.length, "trial")} over ${scales.map(({ label }) => label).join(", ")}`);
    this.paint();
  }

  #x(i) {
    return this.scales.length < 2 ? this.width / 2 : this.left + (i * (this.width - this.left - SIDE)) / (this.scales.length - 1);
  }

  /** Words of the first axis stand before it. */
  #margin(pen) {
    const [first] = this.scales;
    if (first.kind !== "words" || this.scales.length < 2) return SIDE;
    pen.font = WORDS;
    return Math.max(SIDE, ...first.words.slice(0, MOST_WORDS).map((text) => Math.min(LEAST_WIDTH - 10, pen.measureText(text).width) + 8));
  }

  #y(height) {
    return TOP + (1 - height) * (HEIGHT - TOP - BOTTOM);
  }

  #paint() {
    const shown = this.element.clientWidth;
    if (shown === 0 || this.scales.length === 0) return;
    this.width = Math.max(shown, this.scales.length * LEAST_WIDTH);
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = this.width * ratio;
    this.canvas.height = HEIGHT * ratio;
    this.canvas.style.width = `${this.width}px`;
    this.canvas.style.height = `${HEIGHT}px`;
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    this.left = this.#margin(pen);
    const page = colours();
    const selected = this.rows.filter((row) => this.scales.every(({ name }) => admits(this.brushes[name], row[name])));
    const chosen = new Set(selected);
    if (selected.length < this.rows.length) this.#lines(pen, this.rows.filter((row) => !chosen.has(row)), () => page.rule, 0.6);
    this.#lines(pen, selected, this.colourOf, Math.min(0.8, Math.max(0.12, 40 / Math.max(1, selected.length))));
    this.scales.forEach((scale, i) => this.#axis(pen, scale, this.#x(i), page));
    this.canvas.dataset.selected = String(selected.length);
  }

  #lines(pen, rows, colourOf, opacity) {
    pen.globalAlpha = opacity;
    pen.lineWidth = 1.2;
    for (const row of rows) {
      pen.strokeStyle = colourOf(row);
      pen.beginPath();
      let drawing = false;
      this.scales.forEach((scale, i) => {
        const height = heightOf(scale, row[scale.name]);
        if (height === null) drawing = false;
        else if (drawing) pen.lineTo(this.#x(i), this.#y(height));
        else {
          pen.moveTo(this.#x(i), this.#y(height));
          drawing = true;
        }
      });
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  #axis(pen, scale, x, page) {
    pen.strokeStyle = page.muted;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(x, this.#y(0));
    pen.lineTo(x, this.#y(1));
    pen.stroke();
    pen.font = "600 12px system-ui, sans-serif";
    const edge = { 0: "left", [this.scales.length - 1]: "right" };
    const at = this.scales.indexOf(scale);
    pen.textAlign = edge[at] ?? "center";
    pen.fillStyle = page.text;
    pen.fillText(scale.label, at === 0 ? 0 : at === this.scales.length - 1 ? x + 8 : x, 12);
    pen.font = WORDS;
    this.#ticks(pen, scale, x, page);
    const brush = this.brushes[scale.name];
    if (brush !== undefined) this.#brush(pen, scale, brush, x, page);
  }

  #ticks(pen, scale, x, page) {
    const isWord = scale.kind === "words";
    const ticks = isWord ? scale.words.slice(0, MOST_WORDS).map((text) => [heightOf(scale, text), text]) : [[0, number(scale.low, 3)], [1, number(scale.high, 3)]];
    const before = scale === this.scales.at(-1) || (scale === this.scales[0] && isWord);
    pen.textAlign = before ? "right" : "left";
    pen.lineWidth = 5;
    pen.lineJoin = "round";
    pen.strokeStyle = page.paper;
    for (const [height, text] of ticks) {
      const y = this.#y(height) + (isWord ? 4 : height === 0 ? 14 : -6);
      pen.strokeText(text, before ? x - 5 : x + 5, y, LEAST_WIDTH - 10);
      pen.fillText(text, before ? x - 5 : x + 5, y, LEAST_WIDTH - 10);
    }
  }

  #brush(pen, scale, brush, x, page) {
    const spans =
      "words" in brush
        ? brush.words.map((text) => [heightOf(scale, text), heightOf(scale, text)])
        : [[heightOf(scale, brush.from ?? scale.low), heightOf(scale, brush.to ?? scale.high)]];
    pen.fillStyle = page.text;
    pen.globalAlpha = 0.35;
    for (const [from, to] of spans) pen.fillRect(x - 6, this.#y(to) - 5, 12, this.#y(from) - this.#y(to) + 10);
    pen.globalAlpha = 1;
  }

  /** @param {PointerEvent} event */
  #drag(event) {
    const begun = this.#place(event);
    if (begun === null) return;
    this.canvas.setPointerCapture(event.pointerId);
    const done = new AbortController();
    const { signal } = done;
    const own = (act) => (other) => {
      if (other.pointerId !== event.pointerId) return;
      done.abort();
      act(other);
    };
    const end = (up) => this.onBrush(begun.scale.name, this.#selected(begun.scale, begun.height, this.#height(up)));
    this.canvas.addEventListener("pointerup", own(end), { signal });
    this.canvas.addEventListener("pointercancel", own(() => {}), { signal }); // it was a scroll
  }

  #height(event) {
    const box = this.canvas.getBoundingClientRect();
    return 1 - (event.clientY - box.top - TOP) / (HEIGHT - TOP - BOTTOM);
  }

  #place(event) {
    const x = event.clientX - this.canvas.getBoundingClientRect().left;
    const nearest = this.scales.map((scale, i) => ({ scale, away: Math.abs(this.#x(i) - x) })).sort((a, b) => a.away - b.away)[0];
    return nearest === undefined || nearest.away > 30 ? null : { scale: nearest.scale, height: this.#height(event) };
  }

  /** What lies between two heights; a click selects a word, and beside words or on numbers takes the selection back. */
  #selected(scale, a, b) {
    const [low, high] = [Math.min(a, b), Math.max(a, b)];
    if (scale.kind === "words") {
      const words = scale.words.filter((text) => heightOf(scale, text) >= low - 0.04 && heightOf(scale, text) <= high + 0.04);
      return words.length === 0 || words.length === scale.words.length ? null : { words };
    }
    if (high - low < 0.01) return null;
    const round = (value) => Number(value.toPrecision(4));
    return { from: low <= 0 ? null : round(valueAt(scale, low)), to: high >= 1 ? null : round(valueAt(scale, high)) };
  }
}
