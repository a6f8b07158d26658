/** A chart with its heading, its menu (pictures, data, the query behind it) and its legend. */

import { download, csvOf } from "../data/csv.js";
import { fill, h, uniqueId } from "../dom.js";
import { toast, toastError } from "../components/toast.js";
import { dressed, plotly } from "./plotly.js";

const BETWEEN_MILLISECONDS = 1000;
/** What a series is called that has no axis to be named by. */
const ONLY = "all";

/**
 * @typedef {{traces: any[], layout: any, note?: string, summary: string, sql?: string,
 *   table?: () => {columns: string[], rows: any[][]}}} Drawing `summary`: what is to be seen, in words
 */

export class Chart {
  /** @param {{title: string, name: string, signal: AbortSignal, onClick?: (point: any) => void, onZoom?: (range: any) => void}} options `name`: of files */
  constructor({ title, name, signal, onClick, onZoom }) {
    this.name = name;
    this.onClick = onClick;
    this.onZoom = onZoom;
    this.key = null;
    this.drawnAt = 0;
    this.timer = 0;
    /** @type {Drawing | null} */
    this.drawing = null;
    const heading = uniqueId("chart");
    this.plot = h("div", { class: "plot", role: "img", "aria-labelledby": heading });
    this.note = h("figcaption", { class: "chart-note" });
    this.legend = h("div", { class: "legend" });
    this.menu = this.#menu(title);
    const head = h("div", { class: "chart-head" }, h("h2", { id: heading }, title), this.menu);
    this.element = h("figure", { class: "chart", "aria-labelledby": heading }, head, this.legend, this.plot, this.note);
    signal.addEventListener("abort", () => this.#drop());
    plotly().catch(() => {}); // the library comes while the data do; drawing tells where it does not
  }

  /**
   * Draw, unless what the key stands for is drawn already; at most once a second.
   * @param {string} key @param {() => Drawing} build
   */
  draw(key, build) {
    if (key === this.key) return;
    this.key = key;
    clearTimeout(this.timer);
    const wait = Math.max(0, this.drawnAt + BETWEEN_MILLISECONDS - performance.now());
    // A change that the reader made follows at once; what follows of itself waits.
    this.timer = window.setTimeout(() => this.#paint(build), this.drawnAt === 0 || navigator.userActivation?.isActive ? 0 : wait);
  }

  async #paint(build) {
    try {
      const drawing = build();
      const { traces, layout, note = "", summary } = drawing;
      this.drawing = drawing;
      this.plot.style.height = `${layout.height}px`; // before there is anything to see, so that nothing moves then
      const library = await plotly();
      if (this.drawing !== drawing) return;
      if (!this.element.isConnected) {
        this.key = null;
        return;
      }
      this.plot.setAttribute("aria-label", summary);
      this.plot.removeAttribute("aria-labelledby");
      await library.react(this.plot, traces, dressed(layout), { displayModeBar: false, responsive: true, doubleClick: "reset+autosize" });
      fill(this.note, note);
      this.#listen();
      this.drawnAt = performance.now();
      this.element.dataset.drawn = String(Number(this.element.dataset.drawn ?? 0) + 1);
    } catch (error) {
      fill(this.note, String(error.message ?? error));
      console.error(error);
    }
  }

  #listen() {
    if (this.listening) return;
    this.listening = true;
    if (this.onClick) this.plot.on("plotly_click", ({ points }) => this.onClick(points[0]));
    if (this.onZoom) {
      this.plot.on("plotly_relayout", (change) => {
        const names = Object.keys(change);
        if (names.some((name) => /^xaxis\d*\.(range|autorange)/.test(name))) this.onZoom(change);
      });
    }
  }

  #drop() {
    clearTimeout(this.timer);
    if (window.Plotly && this.listening) window.Plotly.purge(this.plot);
  }

  #menu(title) {
    const item = (label, act) => h("button", { type: "button", on: { click: () => this.#do(act) } }, label);
    const panel = h(
      "div",
      { class: "menu-panel" },
      item("Picture (PNG)", () => this.#picture("png")),
      item("Picture (SVG)", () => this.#picture("svg")),
      item("Data (CSV)", () => this.#data()),
      item("Query behind it", () => this.#query()),
    );
    const summary = h("summary", { "aria-label": `Menu of the chart ${title}` }, "⋯");
    const menu = h("details", { class: "menu" }, summary, panel);
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      menu.open = false;
      summary.focus();
    });
    menu.addEventListener("focusout", (event) => {
      if (!menu.contains(event.relatedTarget)) menu.open = false;
    });
    return menu;
  }

  async #do(act) {
    this.menu.open = false;
    if (this.drawing === null) return;
    try {
      await act();
    } catch (error) {
      toastError(error);
    }
  }

  async #picture(format) {
    const library = await plotly();
    const { width, height } = this.plot.getBoundingClientRect();
    const address = await library.toImage(this.plot, { format, width, height, scale: format === "png" ? 2 : 1 });
    const content = format === "svg" ? decodeURIComponent(address.slice(address.indexOf(",") + 1)) : bytesOf(address);
    download(`${this.name}.${format}`, content, format === "svg" ? "image/svg+xml" : "image/png");
  }

  #data() {
    const { columns, rows } = this.drawing.table?.() ?? { columns: [], rows: [] };
    download(`${this.name}.csv`, csvOf(columns, rows));
  }

  #query() {
    if (!this.drawing.sql) {
      toast("There is no query behind this chart.");
      return;
    }
    document.dispatchEvent(new CustomEvent("navigate", { detail: `/sql?${new URLSearchParams({ q: this.drawing.sql })}` }));
  }
}

/** A data address as a blob. @param {string} address */
function bytesOf(address) {
  const text = atob(address.slice(address.indexOf(",") + 1));
  return new Blob([Uint8Array.from(text, (character) => character.charCodeAt(0))], { type: "image/png" });
}

/**
 * Names of series with their marks, as buttons that hide and show them where that is possible.
 * @param {Element} place @param {{label: string, colour: string, dash: string, hidden?: boolean}[]} entries
 * @param {((label: string) => void) | null} [onToggle]
 */
export function showLegend(place, entries, onToggle = null) {
  const key = JSON.stringify(entries);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const plain = entries.length === 1 && entries[0].label === ONLY; // there is nothing to tell it from
  fill(
    place,
    (plain ? [] : entries).map(({ label, colour, dash, hidden }) => {
      const swatch = h("span", { class: `swatch swatch-${dash}`, "aria-hidden": "true", style: { "--colour": colour } });
      if (onToggle === null) return h("span", { class: "legend-entry" }, swatch, label);
      return h("button", { type: "button", class: "legend-entry", "aria-pressed": String(!hidden), on: { click: () => onToggle(label) } }, swatch, label);
    }),
  );
}
