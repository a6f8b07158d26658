/** Alignment, layer by layer: as a picture, and as curves. */

import { Chart, showLegend } from "../../charts/chart.js";
import { cosineRange, curves } from "../../charts/curves.js";
import { heatmap, table } from "../../charts/heatmap.js";
import { isDark } from "../../charts/plotly.js";
import { alignmentHelp } from "../../components/help.js";
import { segments, select } from "../../components/fields.js";
import { curvesSql } from "../../data/sql.js";
import { fill, h } from "../../dom.js";
import { counted } from "../../format.js";
import { dressedSeries, nothingMeasured, readCurves, selectionOfRead, zoomed } from "./charting.js";
import { controlBar, divergedNote, missingNote, pooledNote, selectionControls, toggleHidden } from "./selection.js";

export const MEASURES = { gradient_alignment: "gradient alignment", weight_alignment: "weight alignment" };

/** @param {HTMLElement} panel @param {import("../sweep.js").SweepView} view @param {AbortSignal} signal */
export function alignmentTab(panel, view, signal) {
  const controls = controlBar();
  const place = h("div", { class: "charts" });
  const zoom = { now: undefined };
  let again = () => {};
  const onZoom = zoomed((range) => {
    zoom.now = range;
    again();
  });
  const charts = {
    map: new Chart({ title: "By layer and update", name: `sweep-${view.sweep.id}-alignment-map`, signal, onZoom }),
    lines: new Chart({ title: "Curves, layer by layer", name: `sweep-${view.sweep.id}-alignment-curves`, signal, onZoom }),
  };
  panel.append(controls, place);
  const show = (folded) => {
    again = () => show(folded);
    if (folded.curves.length === 0) {
      fill(place, nothingMeasured(view));
      return;
    }
    showControls(controls, view, folded.curves);
    if (!charts.map.element.isConnected) fill(place, charts.map.element, charts.lines.element);
    draw(charts, folded, view, zoom.now);
  };
  readCurves({ view, path: "alignment", signal, place, show });
}

function showControls(place, view, curves) {
  const { state } = view;
  const layers = [...new Set(curves.map(({ layer }) => layer))].sort((a, b) => a - b);
  const options = [{ value: "", label: "all" }, ...layers.map((layer) => ({ value: String(layer), label: String(layer) }))];
  const key = JSON.stringify([layers, location.search]);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  selectionControls(place, state, view, [
    segments("Measure", [{ value: "gradient_alignment", label: "gradient" }, { value: "weight_alignment", label: "weight" }], state.get("measure"), (value) => state.set({ measure: value })),
    alignmentHelp(),
    select("Layer", options, state.get("layer"), (value) => state.set({ layer: value })),
  ]);
}

function draw(charts, folded, view, zoom) {
  const { state, sweep } = view;
  const measure = state.get("measure") in MEASURES ? state.get("measure") : "gradient_alignment";
  const selection = selectionOfRead(view, folded);
  const layer = state.get("layer");
  const { series: all, entries, left, missing } = dressedSeries(folded.curves, measure, selection);
  const series = layer === "" ? all : all.map((one) => ({ ...one, lines: new Map([...one.lines].filter(([own]) => String(own) === layer)) }));
  const key = JSON.stringify([folded.version, location.search, isDark(), zoom, sweep.diverged, columnsFor(charts.lines.element.clientWidth, 9)]);
  const sql = curvesSql({ sweeps: [sweep.id], view: "v_group_alignment_curves", measures: [measure], by: selection.by, where: selection.where, layer });
  const note = pooledNote(series, { ...selection, folded, left }) + missingNote(missing, MEASURES[measure], view, selection) + divergedNote(view);
  const undefinedNote = missing === 0 && series.every(({ lines }) => lines.size === 0) ? `There is no ${MEASURES[measure]} here: weights of layer 1 have no feedback to align with. ` : "";
  charts.map.draw(key, () => ({ ...heatmap(series, { ...selection, measure, measureName: MEASURES[measure], sql, zoom, width: charts.map.element.clientWidth }), note: `${undefinedNote}${note}` }));
  showLegend(charts.lines.legend, entries, (label) => toggleHidden(state, label));
  charts.lines.draw(key, () => lineDrawing(series, entries, { ...selection, measure, sql, zoom, note, width: charts.lines.element.clientWidth }));
}

function lineDrawing(series, entries, { scale, bands, smooth, measure, sql, zoom, note, width }) {
  const layers = [...new Set(series.flatMap(({ lines }) => [...lines.keys()]))].sort((a, b) => a - b);
  const shown = series.map(({ label }) => entries.find((entry) => entry.label === label));
  const range = cosineRange(series.flatMap(({ lines }) => [...lines.values()]));
  const panels = layers.map((layer) => ({ title: `layer ${layer}`, yTitle: MEASURES[measure], range, lines: series.flatMap(({ lines }, i) => (lines.has(layer) ? [{ series: i, line: lines.get(layer) }] : [])) }));
  const columns = columnsFor(width, layers.length);
  const drawn = curves(panels, shown, { scale, bands: bands && series.length * layers.length <= 60, smooth, columns, panelHeight: columns === 1 ? 230 : 260, zoom });
  return {
    ...drawn,
    note,
    sql,
    summary: `Curves of ${MEASURES[measure]} against updates: ${counted(series.length, "series", "series")}, ${counted(layers.length, "layer")}.`,
    table: () => table(series),
  };
}

/** Panels side by side. @param {number} width in pixels @param {number} layers */
function columnsFor(width, layers) {
  if (width < 560) return 1;
  return Math.min(Math.max(1, layers), width < 900 || layers === 4 ? 2 : 3);
}
