/** Loss, accuracy and alignment on one axis of updates, with the phases: when layers align, when the loss falls. */

import { askRows, Disconnected, pause, Problem } from "../../api.js";
import { Chart, showLegend } from "../../charts/chart.js";
import { cosineRange, curves, logAxis } from "../../charts/curves.js";
import { table } from "../../charts/heatmap.js";
import { isDark } from "../../charts/plotly.js";
import { check, segments } from "../../components/fields.js";
import { connection } from "../../connection.js";
import { curvesSql, phasesSql } from "../../data/sql.js";
import { fill, h } from "../../dom.js";
import { counted } from "../../format.js";
import { dressedSeries, nothingMeasured, readCurves, selectionOfRead, zoomed } from "./charting.js";
import { controlBar, divergedNote, missingNote, pooledNote, selectionControls, toggleHidden } from "./selection.js";

const PANELS = [
  { measure: "loss", title: "loss", log: true },
  { measure: "accuracy", title: "accuracy" },
  { measure: "gradient_alignment", title: "gradient alignment, all hidden layers" },
  { measure: "weight_alignment", title: "weight alignment, all layers" },
];
const MOST_MARKED = 8;
const FRESH_MILLISECONDS = 60000;
const AGAIN_MILLISECONDS = 4000;
const AFTER_A_REFUSAL_MILLISECONDS = 10000;

/** @param {HTMLElement} panel @param {import("../sweep.js").SweepView} view @param {AbortSignal} signal */
export function learningTab(panel, view, signal) {
  const controls = controlBar();
  const place = h("div", { class: "charts" });
  const phases = new Phases(view, signal, () => again());
  let zoom;
  let again = () => {};
  const onZoom = zoomed((range) => {
    zoom = range;
    again();
  });
  const chart = new Chart({ title: "Learning and alignment", name: `sweep-${view.sweep.id}-learning`, signal, onZoom });
  panel.append(controls, place);
  const show = (folded) => {
    again = () => show(folded);
    if (folded.curves.length === 0) {
      fill(place, nothingMeasured(view));
      return;
    }
    showControls(controls, view);
    if (!chart.element.isConnected) fill(place, chart.element);
    draw(chart, folded, view, zoom, phases);
  };
  readCurves({ view, path: "curves", signal, place, show });
}

function showControls(place, view) {
  const { state } = view;
  if (place.dataset.key === location.search) return;
  place.dataset.key = location.search;
  selectionControls(place, state, view, [
    segments("Samples", [{ value: "", label: "test" }, { value: "train", label: "train" }], state.get("samples"), (value) => state.set({ samples: value })),
    check("Phases", state.get("phases") !== "no", (value) => state.set({ phases: value ? "" : "no" })),
  ]);
}

function draw(chart, folded, view, zoom, phases) {
  const { state, sweep } = view;
  const samples = state.get("samples") === "train" ? "train" : "test";
  const selection = selectionOfRead(view, folded);
  const measured = PANELS.map((panel) => {
    const measure = panel.measure.endsWith("alignment") ? panel.measure : `${samples}_${panel.measure}`;
    return { ...panel, measure, title: panel.measure.endsWith("alignment") ? panel.title : `${samples} ${panel.title}`, ...dressedSeries(folded.curves, measure, selection) };
  }).filter(({ entries }) => entries.length > 0);
  const gradient = measured.find(({ measure }) => measure === "gradient_alignment");
  const fullest = measured.reduce((a, b) => (b.entries.length > a.entries.length ? b : a), measured[0]);
  const marked = state.get("phases") !== "no" && fullest.series.length <= MOST_MARKED;
  const rows = marked ? phases.of(selection, folded.version) : [];
  showLegend(chart.legend, fullest.entries, (label) => toggleHidden(state, label));
  const key = JSON.stringify([folded.version, location.search, isDark(), zoom, rows, phases.refused, sweep.diverged]);
  chart.draw(key, () => {
    const { panels, series } = panelsOf(measured, fullest.entries);
    const drawn = curves(panels, fullest.entries, { ...selection, columns: 1, panelHeight: 190, zoom, marks: marksOf(rows, fullest, measured, selection.by) });
    return {
      ...drawn,
      note: pooledNote(series, { ...selection, folded, left: fullest.left }) + phaseNote(rows, marked, phases.refused) + missingNote(gradient?.missing ?? 0, "gradient alignment", view, selection) + divergedNote(view),
      sql: curvesSql({ sweeps: [sweep.id], view: "v_group_curves", measures: measured.map(({ measure }) => measure), by: selection.by, where: selection.where }),
      summary: `${measured.map(({ title }) => title).join(", ")} against updates, ${counted(fullest.series.length, "series", "series")}.`,
      table: () => tableOf(measured),
    };
  });
}

function panelsOf(measured, entries) {
  const panels = measured.map(({ title, log, series, measure }) => {
    const lines = series.map((one) => ({ series: entries.findIndex(({ label }) => label === one.label), line: one.lines.get(0) }));
    return { title, log: log ? logAxis(lines.flatMap(({ line }) => line.mean)) : null, lines, range: measure.endsWith("accuracy") ? [0, 1.02] : measure.endsWith("alignment") ? cosineRange(lines.map(({ line }) => line)) : undefined };
  });
  return { panels, series: measured.flatMap(({ series }) => series) };
}

function tableOf(measured) {
  const parts = measured.map(({ measure, series }) => ({ measure, ...table(series) }));
  return { columns: ["measure", ...parts[0].columns], rows: parts.flatMap(({ measure, rows }) => rows.map((row) => [measure, ...row])) };
}

/** Vertical lines: dotted where layers align, in the panel of alignment; dashed where the loss has halved, in that of the loss. */
function marksOf(rows, { series, entries }, measured, by) {
  const lossPanel = measured.findIndex(({ measure }) => measure.endsWith("loss"));
  const alignmentPanel = measured.findIndex(({ measure }) => measure === "gradient_alignment");
  return rows.flatMap((row) => {
    const id = by === "" ? row.series : JSON.stringify(row.series);
    const one = series.find((other) => other.id === id);
    const entry = one && entries.find(({ label }) => label === one.label);
    if (!entry) return [];
    return [
      lossPanel >= 0 && row.loss_halved_at_step !== null && { step: row.loss_halved_at_step, text: "loss halved", colour: entry.colour, panel: lossPanel, dash: "dash" },
      alignmentPanel >= 0 && row.aligned_at_step !== null && { step: row.aligned_at_step, text: `layer ${row.layer} aligned`, colour: entry.colour, panel: alignmentPanel, dash: "dot" },
    ].filter(Boolean);
  });
}

/** Whether the server may answer another time. */
function isBusy({ status }) {
  return status === 429 || status >= 500;
}

function phaseNote(rows, marked, refused) {
  if (marked && refused !== "") return ` Phases are not marked, because they could not be asked for: ${refused}.`;
  if (!marked || rows.length === 0) return "";
  return " Dashed: half of the fall of the loss is done; dotted: a layer has reached half of its highest alignment (medians over trials that succeeded).";
}

/** Medians of the phases, asked once per selection and version of the data. */
class Phases {
  constructor(view, signal, onRows) {
    Object.assign(this, { view, signal, onRows, key: "", rows: [], refused: "" });
  }

  of({ by, where }) {
    const key = JSON.stringify([by, where, this.view.sweep.trials.succeeded ?? 0]);
    if (key !== this.key && !this.asking) {
      this.key = key;
      this.asking = true;
      askRows(phasesSql({ sweeps: [this.view.sweep.id], by, where }), { signal: this.signal })
        .then((rows) => {
          Object.assign(this, { rows, asking: false, refused: "" });
          this.onRows();
          if (this.#isFresh()) this.#askAgain(AGAIN_MILLISECONDS);
        })
        .catch((error) => {
          this.asking = false;
          if (this.signal.aborted) return;
          if (error instanceof Disconnected) connection.addEventListener("restored", () => this.#begin(), { once: true, signal: this.signal });
          else if (error instanceof Problem && isBusy(error)) this.#askAgain(AFTER_A_REFUSAL_MILLISECONDS);
          else if (!(error instanceof Problem)) console.warn(error);
          this.refused = error.message;
          this.onRows();
        });
    }
    return this.rows;
  }

  /** Phases are worked out a while after the end of a trial. */
  #isFresh() {
    const { finished_at: ended } = this.view.sweep;
    return ended !== null && Date.now() - Date.parse(ended) <= FRESH_MILLISECONDS;
  }

  #askAgain(milliseconds) {
    pause(milliseconds, this.signal).then(() => this.#begin(), () => {});
  }

  #begin() {
    this.key = "";
    this.onRows();
  }
}
