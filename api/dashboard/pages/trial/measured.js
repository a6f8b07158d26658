/** What was measured of a trial: layers beside each other; losses, accuracies and total alignment. */

import { json } from "../../api.js";
import { Chart, showLegend } from "../../charts/chart.js";
import { curves, logAxis } from "../../charts/curves.js";
import { table } from "../../charts/heatmap.js";
import { looks } from "../../charts/palette.js";
import { isDark } from "../../charts/plotly.js";
import { alignmentHelp } from "../../components/help.js";
import { segments, select } from "../../components/fields.js";
import { metricsSql, traceSql } from "../../data/sql.js";
import { fill, h } from "../../dom.js";
import { counted } from "../../format.js";

const MEASURES = { gradient_alignment: "gradient alignment", weight_alignment: "weight alignment", weight_gradient_alignment: "alignment of weight gradients", delta_norm_ratio: "ratio of delta norms", weight_norm: "weight norm", alignment_condition: "condition of A" };

export class Measured {
  constructor(id, place, state, signal) {
    Object.assign(this, { id, place, state, signal, version: 0, text: "", trace: [], metrics: [] });
    this.controls = h("form", { class: "controls strip", "aria-label": "What the charts show" });
    this.layers = new Chart({ title: "Layer by layer", name: `trial-${id}-layers`, signal });
    this.curves = new Chart({ title: "Learning and alignment", name: `trial-${id}-learning`, signal });
  }

  async read() {
    const [trace, metrics] = await Promise.all([json(`/trials/${this.id}/alignment`, { signal: this.signal }), json(`/trials/${this.id}/metrics`, { signal: this.signal })]);
    const text = `${trace.items.length}/${metrics.items.length}/${JSON.stringify(metrics.items.at(-1) ?? null)}`;
    if (text === this.text) return;
    Object.assign(this, { text, trace: trace.items, metrics: metrics.items, version: this.version + 1 });
    this.show();
  }

  show() {
    if (this.metrics.length === 0) return;
    const [measure, scale] = [this.state.get("measure"), this.state.get("scale")];
    const available = Object.keys(MEASURES).filter((name) => this.trace.some((point) => point[name] !== null));
    const measures = available.map((name) => ({ value: name, label: MEASURES[name] }));
    const shown = available.includes(measure) ? measure : available[0];
    const key = JSON.stringify([available, location.search]);
    if (this.controls.dataset.key !== key) {
      this.controls.dataset.key = key;
      fill(this.controls, measures.length > 0 && select("Measure", measures, shown, (value) => this.state.set({ measure: value })), measures.length > 0 && alignmentHelp(), segments("Updates", [{ value: "log", label: "log" }, { value: "linear", label: "linear" }], scale, (value) => this.state.set({ scale: value })));
    }
    if (!this.curves.element.isConnected) fill(this.place, this.controls, this.layers.element, this.curves.element);
    const drawn = JSON.stringify([this.version, location.search, isDark()]);
    if (shown) this.#drawLayers(drawn, shown, scale);
    else this.layers.element.remove();
    this.curves.draw(drawn, () => this.#learning(scale));
  }

  #drawLayers(key, measure, scale) {
    const layers = [...new Set(this.trace.filter((point) => point[measure] !== null).map(({ layer }) => layer))].sort((a, b) => a - b);
    const own = looks(layers.length, true, isDark()).map((look, i) => ({ ...look, label: `layer ${layers[i]}`, theory: false }));
    const lines = layers.map((layer, i) => ({ series: i, line: lineOf(this.trace.filter((point) => point.layer === layer), measure, layer) }));
    showLegend(this.layers.legend, own);
    this.layers.draw(key, () => ({
      ...curves([{ title: MEASURES[measure], lines, log: measure === "alignment_condition" ? logAxis(lines.flatMap(({ line }) => line.mean)) : null }], own, { scale, bands: false, smooth: 1, columns: 1, panelHeight: 280 }),
      sql: traceSql(this.id),
      summary: `${MEASURES[measure]} of ${counted(layers.length, "layer")} against updates.`,
      table: () => table(lines.map(({ line }, i) => ({ label: own[i].label, lines: new Map([[layers[i], line]]) }))),
    }));
  }

  #learning(scale) {
    const panels = [["loss", ["train_loss", "test_loss"]], ["accuracy", ["train_accuracy", "test_accuracy"]], ["alignment", ["gradient_alignment", "weight_alignment"]], ["generalisation error", ["generalisation_error"]]];
    const own = looks(2, false, isDark());
    const all = panels.map(([title, names]) => [title, names.filter((name) => this.metrics.some((row) => row[name] !== null))]).filter(([, names]) => names.length > 0);
    const entries = [];
    const drawn = all.map(([title, names]) => ({
      title: names.length === 1 ? title : `${title}: ${names.map((name, i) => `${name.split("_")[0]} (${["solid", "dashed"][i]})`).join(", ")}`,
      log: title === "accuracy" ? null : logAxis(names.flatMap((name) => this.metrics.map((row) => row[name]))),
      lines: names.map((name, i) => ({ series: entries.push({ label: name.replaceAll("_", " "), theory: false, colour: own[i].colour, dash: i === 0 ? "solid" : "dash" }) - 1, line: lineOf(this.metrics, name, 0) })),
    }));
    return {
      ...curves(drawn, entries, { scale, bands: false, smooth: 1, columns: 1, panelHeight: 180 }),
      sql: metricsSql(this.id),
      summary: `${all.map(([title]) => title).join(", ")} against updates.`,
      table: () => ({ columns: Object.keys(this.metrics[0]), rows: this.metrics.map((row) => Object.values(row)) }),
    };
  }
}

function lineOf(rows, name, layer) {
  return { layer, step: rows.map(({ step }) => step), n: rows.map(() => 1), mean: rows.map((row) => row[name]), sd: rows.map(() => null) };
}
