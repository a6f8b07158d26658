/** Several sweeps on shared axes: their groups, pooled by an axis, as curves and as a table of where they end. */

import { json, url } from "../api.js";
import { Chart, showLegend } from "../charts/chart.js";
import { cosineRange, curves, logAxis } from "../charts/curves.js";
import { table } from "../charts/heatmap.js";
import { looks } from "../charts/palette.js";
import { isDark } from "../charts/plotly.js";
import { alignmentHelp } from "../components/help.js";
import { check, line, segments, select } from "../components/fields.js";
import { empty, failure, loading } from "../components/states.js";
import { dataTable } from "../components/table.js";
import { readAxes, sharedAxes, shortName, zipped } from "../data/axes.js";
import { ALL, question, seriesOf } from "../data/series.js";
import { poll } from "../data/polling.js";
import { Source } from "../data/source.js";
import { curvesSql } from "../data/sql.js";
import { fill, h } from "../dom.js";
import { counted, setting, spread, whole } from "../format.js";
import { ViewState } from "../state.js";
import { hiddenOf, toggleHidden } from "./sweep/selection.js";

const MEASURES = { gradient_alignment: "gradient alignment", weight_alignment: "weight alignment", test_accuracy: "test accuracy", train_accuracy: "train accuracy", test_loss: "test loss", train_loss: "train loss" };
const MOST_SWEEPS = 8;
const MOST_SERIES = 24;
const MOST_POINTS = 120;
const LEAST_MILLISECONDS = 4000;
const PER_READING = 6;
const OVER = ["succeeded", "partial", "failed", "cancelled"];
const DEFAULTS = { sweeps: "", measure: "gradient_alignment", by: "", scale: "log", layer: "0", bands: "yes", hide: "" };

/** @param {import("../router.js").Visit} visit */
export default function compare({ place, signal, title }) {
  title("Compare");
  const state = new ViewState(DEFAULTS);
  const body = h("div", {}, loading(7, "Loading sweeps"));
  place.append(h("div", { class: "page-head" }, h("h1", {}, "Compare sweeps")), chooser(state), body);
  const chart = new Chart({ title: "Curves", name: "compare", signal });
  const controls = h("form", { class: "controls strip", "aria-label": "What the chart shows", on: { submit: (event) => event.preventDefault() } });
  const rows = h("div", {});
  const compared = new Compared();
  let leave = new AbortController();
  const show = () => {
    if (!compared.isRead(state)) return false;
    if (!chart.element.isConnected) fill(body, controls, chart.element, h("section", {}, h("h2", {}, "At the end of the curves"), rows));
    draw({ chart, controls, rows, state, view: viewOf(state, compared.sweeps), sweeps: compared.sweeps, version: compared.version });
    return true;
  };
  const again = poll(async () => {
    if (idsOf(state).length === 0) {
      fill(body, empty("No sweeps are chosen.", "Write their numbers above, or mark some in the ", h("a", { href: "/sweeps" }, "list of sweeps"), "."));
      return null;
    }
    if (leave.signal.aborted) leave = new AbortController();
    const left = leave.signal;
    try {
      await compared.read(state, AbortSignal.any([signal, left]));
      show();
    } catch (error) {
      signal.throwIfAborted();
      if (left.aborted) return 0;
      if (!compared.isRead(state)) fill(body, failure(error, again));
    }
    body.ariaBusy = "false";
    return compared.isOver ? null : Math.max(LEAST_MILLISECONDS, PER_READING * compared.took);
  }, signal);
  state.addEventListener("change", () => {
    if (show()) return;
    body.ariaBusy = "true";
    leave.abort();
    again();
  });
  document.addEventListener("theme", show, { signal });
}

/** The sweeps that are compared, with their curves: what was read last, and for what. */
class Compared {
  constructor() {
    Object.assign(this, { sweeps: [], key: "", version: 0, took: 0 });
    /** What each was found to be, and the sources of curves, by address. */
    Object.assign(this, { known: new Map(), sources: new Map() });
  }

  get isOver() {
    return this.sweeps.every(({ over }) => over);
  }

  /** Whether what is read is what the address asks for. */
  isRead(state) {
    return this.key !== "" && this.key === this.#keyOf(state, this.sweeps);
  }

  #keyOf(state, sweeps) {
    const { layered, by, where } = viewOf(state, sweeps);
    return JSON.stringify([idsOf(state), sweeps.map(({ id }) => id), layered, by, where]);
  }

  /** @param {ViewState} state @param {AbortSignal} signal */
  async read(state, signal) {
    const begun = performance.now();
    const before = this.isRead(state) ? this.sweeps : [];
    const sweeps = await Promise.all(idsOf(state).map((id) => this.#sweep(id, signal)));
    const [view, key] = [viewOf(state, sweeps), this.#keyOf(state, sweeps)];
    const ended = (i) => before[i]?.over; // when its curves were read
    const found = await Promise.all(sweeps.map((sweep, i) => (ended(i) ? before[i].curves : this.#curves(sweep, view, signal))));
    signal.throwIfAborted();
    const changed = key !== this.key || sweeps.some((_, i) => found[i] !== before[i]?.curves);
    Object.assign(this, { key, sweeps: sweeps.map((sweep, i) => ({ ...sweep, curves: found[i] })), took: performance.now() - begun });
    if (changed) this.version += 1;
  }

  async #sweep(id, signal) {
    if (!this.known.get(id)?.over) this.known.set(id, await load(id, signal));
    return this.known.get(id);
  }

  async #curves({ id, axes }, { layered, by, where }, signal) {
    const path = `/sweeps/${id}/${layered ? "alignment" : "curves"}`;
    const query = { ...question(axes, { by, where }), max_points: MOST_POINTS, max_series: MOST_SERIES };
    const address = url(path, query);
    const own = this.sources.get(address) ?? { source: new Source(path, query, "curves"), curves: null };
    this.sources.delete(address); // an answer that is given up may be taken for one that is known
    own.curves = (await own.source.read(signal))?.curves ?? own.curves;
    this.sources.set(address, own);
    return own.curves;
  }
}

function chooser(state) {
  const given = line("Sweeps, with commas between", state.get("sweeps"), (value) => state.set({ sweeps: value.split(/[^0-9]+/).filter(Boolean).slice(0, MOST_SWEEPS).join(","), hide: null }), { placeholder: "1, 2", inputMode: "numeric" });
  return h("form", { class: "controls", on: { submit: (event) => event.preventDefault() } }, given);
}

function idsOf(state) {
  return [...new Set(state.get("sweeps").split(",").map(Number))].filter((id) => id > 0).slice(0, MOST_SWEEPS);
}

async function load(id, signal) {
  const [{ name, spec, state }, { axes }] = await Promise.all([json(`/sweeps/${id}`, { signal }), readAxes(id, signal)]);
  return { id, name, axes: zipped(axes, spec), over: OVER.includes(state) };
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

function draw({ chart, controls, rows, state, view, sweeps, version }) {
  const { layered, measure, by, where } = view;
  showControls(controls, state, { ...view, layers: layersOf(sweeps, layered) });
  const names = new Set(sweeps.map(({ name }) => name));
  const series = sweeps.flatMap((sweep) => seriesOf(sweep.curves, measure, by, sweep.axes).map((one) => ({ ...one, label: labelOf(sweep, one, by, names.size === sweeps.length) })));
  const shown = series.filter(({ lines: own }) => own.size > 0).slice(0, MOST_SERIES);
  const hidden = hiddenOf(state);
  const own = looks(shown.length, false, isDark());
  const entries = shown.map(({ label, theory }, i) => ({ label, theory, hidden: hidden.has(label), ...own[i] }));
  showLegend(chart.legend, entries, (label) => toggleHidden(state, label));
  const layer = Number(state.get("layer"));
  const visible = shown.filter(({ label }) => !hidden.has(label));
  const lines = shown.flatMap((one, i) => (visible.includes(one) && one.lines.has(layer) ? [{ series: i, line: one.lines.get(layer) }] : []));
  const log = measure.endsWith("loss") ? logAxis(lines.flatMap(({ line: { mean } }) => mean)) : null;
  chart.draw(JSON.stringify([location.search, isDark(), version]), () => ({
    ...curves([{ title: MEASURES[measure] + (layered ? `, layer ${layer}` : ""), log, range: measure.endsWith("alignment") ? cosineRange(lines.map(({ line: own }) => own)) : undefined, lines }], entries, { scale: state.get("scale"), bands: state.get("bands") === "yes" && lines.length <= 12, smooth: 1, columns: 1, panelHeight: 420 }),
    note: `Mean${state.get("bands") === "yes" ? " and standard deviation" : ""} over all trials of each series.${series.length > MOST_SERIES ? ` ${series.length - MOST_SERIES} more series are not shown.` : ""}`,
    sql: curvesSql({ sweeps: sweeps.map(({ id }) => id), view: layered ? "v_group_alignment_curves" : "v_group_curves", measures: [measure], by, where, layer: layered ? String(layer) : "" }),
    summary: `${MEASURES[measure]} against updates of ${counted(lines.length, "series", "series")} from ${counted(sweeps.length, "sweep")}.`,
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
    alignmentHelp(),
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
