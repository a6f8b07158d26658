/** Several sweeps on shared axes: their groups, pooled by an axis, as curves and as a table of where they end. */

import { json } from "../api.js";
import { Chart, showLegend } from "../charts/chart.js";
import { cosineRange, curves, logAxis } from "../charts/curves.js";
import { table } from "../charts/heatmap.js";
import { looks } from "../charts/palette.js";
import { isDark } from "../charts/plotly.js";
import { check, line, segments, select } from "../components/fields.js";
import { empty, failure, loading } from "../components/states.js";
import { dataTable } from "../components/table.js";
import { readAxes, sharedAxes, shortName, zipped } from "../data/axes.js";
import { ALL, question, seriesOf } from "../data/series.js";
import { Source } from "../data/source.js";
import { curvesSql } from "../data/sql.js";
import { fill, h } from "../dom.js";
import { setting, spread, whole } from "../format.js";
import { ViewState } from "../state.js";
import { toggleHidden } from "./sweep/selection.js";

const MEASURES = { gradient_alignment: "gradient alignment", weight_alignment: "weight alignment", test_accuracy: "test accuracy", train_accuracy: "train accuracy", test_loss: "test loss", train_loss: "train loss" };
const MOST_SWEEPS = 8;
const MOST_SERIES = 24;
const MOST_POINTS = 120;
const DEFAULTS = { sweeps: "", measure: "gradient_alignment", by: "", scale: "log", layer: "0", bands: "yes", hide: "" };

/** @param {import("../router.js").Visit} visit */
export default async function compare({ place, signal, title }) {
  title("Compare");
  const state = new ViewState(DEFAULTS);
  const body = h("div", {}, loading(7, "Loading sweeps"));
  place.append(h("div", { class: "page-head" }, h("h1", {}, "Compare sweeps")), chooser(state), body);
  const loaded = { sweeps: new Map(), key: "", curves: [] };
  const chart = new Chart({ title: "Curves", name: "compare", signal });
  const controls = h("form", { class: "controls strip", "aria-label": "What the chart shows", on: { submit: (event) => event.preventDefault() } });
  const rows = h("div", {});
  const show = async () => {
    const ids = idsOf(state);
    if (ids.length === 0) {
      fill(body, empty("No sweeps are chosen.", "Write their numbers above, or mark some in the ", h("a", { href: "/sweeps" }, "list of sweeps"), "."));
      return;
    }
    try {
      await Promise.all(ids.filter((id) => !loaded.sweeps.has(id)).map(async (id) => loaded.sweeps.set(id, await load(id, signal))));
      const sweeps = ids.map((id) => loaded.sweeps.get(id));
      const view = viewOf(state, sweeps);
      const key = JSON.stringify([ids, view.layered, view.by, view.where]);
      if (key !== loaded.key) {
        const curves = await Promise.all(sweeps.map((sweep) => readCurves(sweep, view, signal)));
        if (JSON.stringify(idsOf(state)) !== JSON.stringify(ids)) return; // others are wanted meanwhile
        Object.assign(loaded, { key, curves });
      }
      if (!chart.element.isConnected) fill(body, controls, chart.element, h("section", {}, h("h2", {}, "At the end of the curves"), rows));
      draw({ chart, controls, rows, state, view, sweeps: sweeps.map((sweep, i) => ({ ...sweep, curves: loaded.curves[i] })) });
    } catch (error) {
      if (!signal.aborted) fill(body, failure(error, show));
    }
  };
  state.addEventListener("change", show);
  document.addEventListener("theme", show, { signal });
  await show();
}

function chooser(state) {
  const given = line("Sweeps, with commas between", state.get("sweeps"), (value) => state.set({ sweeps: value.split(/[^0-9]+/).filter(Boolean).slice(0, MOST_SWEEPS).join(","), hide: null }), { placeholder: "1, 2", inputMode: "numeric" });
  return h("form", { class: "controls", on: { submit: (event) => event.preventDefault() } }, given);
}

function idsOf(state) {
  return [...new Set(state.get("sweeps").split(",").map(Number))].filter((id) => id > 0).slice(0, MOST_SWEEPS);
}

async function load(id, signal) {
  const [{ name, spec }, { axes }] = await Promise.all([json(`/sweeps/${id}`, { signal }), readAxes(id, signal)]);
  return { id, name, axes: zipped(axes, spec) };
}

/** What the address asks for, of these sweeps. */
function viewOf(state, sweeps) {
  const axes = sharedAxes(sweeps.map((sweep) => sweep.axes));
  const layered = state.get("layer") !== "0";
  const measures = Object.keys(MEASURES).filter((name) => !layered || name.endsWith("alignment"));
  const measure = measures.includes(state.get("measure")) ? state.get("measure") : measures[0];
  const by = axes.some(({ name }) => name === state.get("by")) ? state.get("by") : ALL;
  return { axes, layered, measures, measure, by, where: state.under("where.") };
}

async function readCurves({ id, axes }, { layered, by, where }, signal) {
  const query = { ...question(axes, { by, where }), max_points: MOST_POINTS, max_series: MOST_SERIES };
  return (await new Source(`/sweeps/${id}/${layered ? "alignment" : "curves"}`, query, "curves").read(signal)).curves;
}

function draw({ chart, controls, rows, state, view, sweeps }) {
  const { layered, measure, by, where } = view;
  showControls(controls, state, { ...view, layers: layersOf(sweeps, layered) });
  const names = new Set(sweeps.map(({ name }) => name));
  const series = sweeps.flatMap((sweep) => seriesOf(sweep.curves, measure, by, sweep.axes).map((one) => ({ ...one, label: labelOf(sweep, one, by, names.size === sweeps.length) })));
  const shown = series.filter(({ lines: own }) => own.size > 0).slice(0, MOST_SERIES);
  const hidden = new Set(state.get("hide").split("|").filter(Boolean));
  const own = looks(shown.length, false, isDark());
  const entries = shown.map(({ label, theory }, i) => ({ label, theory, hidden: hidden.has(label), ...own[i] }));
  showLegend(chart.legend, entries, (label) => toggleHidden(state, label));
  const layer = Number(state.get("layer"));
  const visible = shown.filter(({ label }) => !hidden.has(label));
  const lines = shown.flatMap((one, i) => (visible.includes(one) && one.lines.has(layer) ? [{ series: i, line: one.lines.get(layer) }] : []));
  const log = measure.endsWith("loss") ? logAxis(lines.flatMap(({ line: { mean } }) => mean)) : null;
  chart.draw(JSON.stringify([location.search, isDark(), sweeps.map(({ id }) => id)]), () => ({
    ...curves([{ title: MEASURES[measure] + (layered ? `, layer ${layer}` : ""), log, range: measure.endsWith("alignment") ? cosineRange(lines.map(({ line: own }) => own)) : undefined, lines }], entries, { scale: state.get("scale"), bands: state.get("bands") === "yes" && lines.length <= 12, smooth: 1, columns: 1, panelHeight: 420 }),
    note: `Mean${state.get("bands") === "yes" ? " and standard deviation" : ""} over all trials of each series.${series.length > MOST_SERIES ? ` ${series.length - MOST_SERIES} more series are not shown.` : ""}`,
    sql: curvesSql({ sweeps: sweeps.map(({ id }) => id), view: layered ? "v_group_alignment_curves" : "v_group_curves", measures: [measure], by, where, layer: layered ? String(layer) : "" }),
    summary: `${MEASURES[measure]} against updates of ${lines.length} series from ${sweeps.length} sweeps.`,
    table: () => table(visible),
  }));
  fill(rows, ends(visible, layer, MEASURES[measure]));
}

function labelOf(sweep, one, by, unique) {
  const name = unique ? sweep.name : `${sweep.name} ${sweep.id}`;
  return by === ALL ? `${name}${one.theory ? " (theory)" : ""}` : `${name}: ${one.label}`;
}

function layersOf(sweeps, layered) {
  const found = layered ? sweeps.flatMap(({ curves: own }) => own.map(({ layer }) => layer)) : [1, 2, 3, 4];
  return [...new Set(found)].sort((a, b) => a - b);
}

function showControls(place, state, { axes, measures, measure, by, where, layers }) {
  const key = JSON.stringify([location.search, axes.map(({ name }) => name), layers]);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const many = axes.filter(({ name, values, follows }) => !follows && name !== by && values.length > 1);
  fill(
    place,
    select("Measure", measures.map((value) => ({ value, label: MEASURES[value] })), measure, (value) => state.set({ measure: value })),
    select("Layer", [{ value: "0", label: "whole network" }, ...layers.map((layer) => ({ value: String(layer), label: String(layer) }))], state.get("layer"), (value) => state.set({ layer: value })),
    select("Group by", [{ value: "", label: "sweep" }, ...axes.map(({ name }) => ({ value: name, label: `sweep and ${shortName(name, axes)}` }))], by ?? "", (value) => state.set({ by: value, hide: null })),
    many.map(({ name, values }) => select(shortName(name, axes), [{ value: "", label: "all" }, ...values.map((value) => ({ value: JSON.stringify(value), label: setting(value) }))], where[name] ?? "", (value) => state.set({ [`where.${name}`]: value, hide: null }))),
    segments("Updates", [{ value: "log", label: "log" }, { value: "linear", label: "linear" }], state.get("scale"), (value) => state.set({ scale: value })),
    check("± sd", state.get("bands") === "yes", (value) => state.set({ bands: value ? "yes" : "no" })),
  );
}

function ends(series, layer, label) {
  const rows = series.filter(({ lines }) => lines.has(layer)).map((one) => ({ ...one, line: one.lines.get(layer) }));
  const columns = [
    { key: "label", label: "Series", cell: ({ label: name }) => name },
    { key: "groups", label: "configurations", numeric: true, cell: ({ groups }) => whole(groups) },
    { key: "n", label: "n", numeric: true, cell: ({ line: { n } }) => whole(n.at(-1)) },
    { key: "step", label: "updates", numeric: true, cell: ({ line: { step } }) => whole(step.at(-1)) },
    { key: "value", label, numeric: true, cell: ({ line: { mean, sd } }) => spread(mean.at(-1), sd.at(-1)) },
  ];
  return dataTable({ caption: `${label} at the last trace point`, columns, rows });
}
