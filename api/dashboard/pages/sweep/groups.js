/** Configurations with their statistics over seeds: only the axes that tell them apart, unless all are wanted. */

import { check, segments } from "../../components/fields.js";
import { empty, failure, loading } from "../../components/states.js";
import { dataTable, sorted } from "../../components/table.js";
import { shortName } from "../../data/axes.js";
import { csvOf, download } from "../../data/csv.js";
import { poll } from "../../data/polling.js";
import { Source } from "../../data/source.js";
import { groupsSql } from "../../data/sql.js";
import { fill, h } from "../../dom.js";
import { columnPlaces, setting, spread, whole } from "../../format.js";
import { divergedNote } from "./selection.js";

const METRICS = { test_accuracy: "test accuracy", train_accuracy: "train accuracy", test_loss: "test loss", train_loss: "train loss" };
const MOST_ROWS = 200;

/** What stands behind ±: the columns it is worked out from, and what it is called. */
const SPREADS = {
  sd: { columns: ["sd"], option: "± sd", words: "standard deviation", note: "", of: (own, name) => own?.[`${name}_sd`] },
  ci: {
    columns: ["low", "high"],
    option: "95 % CI",
    words: "half of the 95 % interval of the mean",
    note: " (Student's t)",
    of: (own, name) => half(own?.[`${name}_low`], own?.[`${name}_high`]),
  },
};

/** @param {HTMLElement} panel @param {import("../sweep.js").SweepView} view @param {AbortSignal} signal */
export function groupsTab(panel, view, signal) {
  const { state, sweep } = view;
  const source = new Source(`/sweeps/${sweep.id}/stats`, {}, "plain");
  const place = h("div", {}, loading(8, "Loading groups"));
  let groups = null;
  let most = MOST_ROWS;
  const query = h("a", { class: "button" }, "Query behind it");
  const csv = h("button", { type: "button", disabled: true, on: { click: () => keep(view, groups) } }, "CSV");
  panel.append(
    h("div", { class: "controls bar-line" }, segments("Spread", Object.entries(SPREADS).map(([value, { option }]) => ({ value, label: option })), spreadOf(state), (spread) => state.set({ spread: spread === "sd" ? "" : spread })), check("All parameters", state.get("all") === "yes", (value) => state.set({ all: value ? "yes" : "" })), h("div", { class: "actions push" }, csv, query)),
    place,
  );
  const show = () => {
    query.href = `/sql?${new URLSearchParams({ q: groupsSql(tableOf(view, groups ?? [])) })}`;
    if (groups === null) return;
    csv.disabled = groups.length === 0;
    if (groups.length === 0) {
      fill(place, view.over ? empty("No trial has succeeded.") : empty("No trial has succeeded yet.", "Groups appear with their first trial that has."));
      return;
    }
    const spread = SPREADS[spreadOf(state)];
    const columns = columnsOf(view.axes, groups, state.get("all") === "yes", spread);
    const rows = sorted(groups, columns, state.get("sort"));
    const left = rows.length - most;
    fill(
      place,
      dataTable({ caption: `Configurations, mean and ${spread.words} over seeds`, columns, rows: rows.slice(0, most), sort: state.get("sort"), onSort: (sort) => state.set({ sort }) }),
      left > 0 && h("button", { type: "button", class: "more", on: { click: () => { most += MOST_ROWS; show(); } } }, `Show ${Math.min(left, MOST_ROWS)} of ${whole(left)} more`),
      h("p", { class: "chart-note" }, `Mean ± ${spread.words} over n trials that succeeded${spread.note}. Alignment is that of the gradients, at the end, by layer.`, divergedNote({ sweep: { diverged: sumOf(groups, "diverged"), trials: { succeeded: sumOf(groups, "n") } } })),
    );
  };
  const again = poll(async () => {
    try {
      const found = await source.read(signal);
      if (found !== null) {
        groups = found.items;
        show();
      }
    } catch (error) {
      signal.throwIfAborted();
      if (groups === null) fill(place, failure(error, again));
    }
    return view.over ? null : Math.max(5000, 6 * source.took);
  }, signal);
  view.addEventListener("changed", () => view.over && again(), { signal });
  state.addEventListener("change", show, { signal });
  show();
}

/** @returns {"sd" | "ci"} */
function spreadOf(state) {
  return state.get("spread") === "ci" ? "ci" : "sd";
}

/** Half of an interval around its mean. */
function half(low, high) {
  return low === null || low === undefined ? null : (high - low) / 2;
}

/** What the table shows, for the query behind it. */
function tableOf({ axes, sweep, state }, groups) {
  return { sweep: sweep.id, axes: axes.map(({ name }) => name), metrics: metricsOf(groups), layers: layersOf(groups), spread: SPREADS[spreadOf(state)].columns };
}

/** The metrics that any group has. */
function metricsOf(groups) {
  return Object.keys(METRICS).filter((name) => groups.some((group) => group[`${name}_mean`] !== null));
}

/** The layers that have a gradient alignment. */
function layersOf(groups) {
  const aligned = groups.flatMap(({ layers }) => layers.filter(({ gradient_alignment_mean: mean }) => mean !== null).map(({ layer }) => layer));
  return [...new Set(aligned)].sort((a, b) => a - b);
}

function sumOf(groups, name) {
  return groups.reduce((sum, group) => sum + group[name], 0);
}

function columnsOf(axes, groups, all, spread) {
  const numeric = (name) => groups.every(({ varied }) => typeof (varied[name] ?? 0) === "number");
  const settings = all
    ? Object.keys(flat(groups[0].config)).map((name) => ({ key: name, label: name, cell: ({ config }) => setting(flat(config)[name]), value: ({ config }) => comparable(flat(config)[name]) }))
    : axes.map(({ name }) => ({ key: name, label: shortName(name, axes), numeric: numeric(name), cell: ({ varied }) => setting(varied[name]), value: ({ varied }) => comparable(varied[name]) }));
  const metrics = metricsOf(groups).map((name) => measured(groups, name, METRICS[name], (group) => [group[`${name}_mean`], spread.of(group, name)]));
  const aligned = layersOf(groups).map((layer) =>
    measured(groups, `layer${layer}`, `alignment ${layer}`, (group) => {
      const own = group.layers.find((other) => other.layer === layer);
      return [own?.gradient_alignment_mean, spread.of(own, "gradient_alignment")];
    }),
  );
  const counts = [{ key: "n", label: "n", numeric: true, cell: ({ n }) => whole(n), value: ({ n }) => n }];
  if (groups.some(({ diverged }) => diverged > 0)) counts.push({ key: "diverged", label: "diverged", numeric: true, cell: ({ diverged }) => whole(diverged), value: ({ diverged }) => diverged });
  return [...settings, ...counts, ...metrics, ...aligned];
}

/** A column of means and deviations, the latter in grey. @param {(group: any) => [number | null | undefined, number | null | undefined]} of */
function measured(groups, key, label, of) {
  const places = columnPlaces(groups.map((group) => of(group)[1]));
  const cell = (group) => {
    const [mean, sd] = spread(...of(group), places).split(" ± ");
    return sd === undefined ? mean : [mean, h("span", { class: "sd" }, ` ± ${sd}`)];
  };
  return { key, label, numeric: true, cell, value: (group) => of(group)[0] };
}

function comparable(value) {
  return typeof value === "object" && value !== null ? JSON.stringify(value) : value;
}

/** A configuration by dotted path. @param {any} value @param {string} [prefix] @returns {Record<string, any>} */
export function flat(value, prefix = "") {
  const found = {};
  for (const [name, inner] of Object.entries(value)) {
    if (inner !== null && typeof inner === "object" && !Array.isArray(inner)) Object.assign(found, flat(inner, `${prefix}${name}.`));
    else found[prefix + name] = inner;
  }
  return found;
}

function keep({ sweep: { id }, axes, state }, groups) {
  const kinds = ["mean", "sd", "low", "high"];
  const names = Object.keys(METRICS).flatMap((name) => kinds.map((kind) => `${name}_${kind}`));
  const aligned = kinds.map((kind) => `gradient_alignment_${kind}`);
  const layers = [...new Set(groups.flatMap((group) => group.layers.map(({ layer }) => layer)))];
  const rows = sorted(groups, columnsOf(axes, groups, false, SPREADS[spreadOf(state)]), state.get("sort")).map((group) => [
    ...axes.map(({ name }) => group.varied[name]),
    group.n,
    group.diverged,
    ...names.map((name) => group[name]),
    ...layers.flatMap((layer) => {
      const own = group.layers.find((other) => other.layer === layer);
      return aligned.map((name) => own?.[name]);
    }),
  ]);
  const columns = [...axes.map(({ name }) => name), "n", "diverged", ...names, ...layers.flatMap((layer) => kinds.map((kind) => `gradient_alignment_${layer}_${kind}`))];
  download(`sweep-${id}-groups.csv`, csvOf(columns, rows));
}
