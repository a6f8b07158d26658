/** Alignment as a picture: layers from the bottom up, updates to the right, one block of rows per series. */

import { extent } from "../data/numbers.js";
import { counted, number } from "../format.js";
import { SCALE } from "./palette.js";
import { placeOf, stepAxis } from "./steps.js";

/** Heights in pixels: of a series' name, of a layer's row at least and at most, of all rows if they can. */
const NAME = 19;
const [LOWEST, HIGHEST] = [7, 24];
/** From this height on each row has its number; below, the highest and the lowest layer. */
const NUMBERED = 12;
const ALL = 520;
const CHARACTER = 6.4;

/**
 * @param {import("../data/series.js").Series[]} series
 * @param {{scale: string, measure: string, measureName: string, sql: string, zoom?: [number, number], width: number}} options
 * @returns {import("./chart.js").Drawing}
 */
export function heatmap(series, { scale, measure, measureName, sql, zoom, width }) {
  const steps = [...new Set(series.flatMap(({ lines }) => [...lines.values()].flatMap(({ step }) => step)))].sort((a, b) => a - b);
  const rows = rowsOf(series, steps);
  const values = rows.flatMap(({ mean }) => mean).filter((value) => value !== null);
  const [lowest, highest] = extent(values);
  const least = Math.min(0, lowest);
  const edges = edgesOf(rows);
  const middle = (i) => (edges[i] + edges[i + 1]) / 2;
  const margin = { l: 56, r: width < 500 ? 58 : 72, t: 4, b: 44 };
  const trace = {
    type: "heatmap",
    name: measure,
    x: steps.map((step) => placeOf(step, scale)),
    y: edges,
    z: rows.map(({ mean }) => mean),
    customdata: rows.map(({ label, layer, n }) => steps.map((step, i) => [escaped(label), layer, step, n?.[i] ?? ""])),
    hovertemplate: "%{customdata[0]}, layer %{customdata[1]}<br>%{customdata[2]} updates: %{z:.3f} (n = %{customdata[3]})<extra></extra>",
    hoverongaps: false,
    colorscale: SCALE,
    zmin: least < -0.05 ? Math.max(-1, Math.floor(least * 10) / 10) : 0,
    zmax: 1,
    colorbar: { title: { text: measureName, side: "right", font: { size: 12 } }, thickness: 10, len: Math.min(360, edges.at(-1)), lenmode: "pixels", y: 1, yanchor: "top", ypad: 0, outlinewidth: 0, ticklen: 3, tickfont: { size: 11 }, ticklabeloverflow: "allow", x: 1.01, xpad: 4, nticks: edges.at(-1) < 140 ? 4 : 6 },
  };
  const isEnd = (i) => rows[i + 1]?.layer === null || (rows[i - 1]?.layer ?? null) === null;
  const numbered = edges[1] - edges[0] >= NUMBERED;
  const named = rows.map((row, i) => ({ ...row, i })).filter(({ layer, i }) => layer !== null && (numbered || isEnd(i)));
  return {
    traces: [trace],
    layout: {
      height: Math.max(160, edges.at(-1) + margin.t + margin.b),
      margin,
      xaxis: { ...stepAxis(steps.at(-1) ?? 1, scale, zoom), showgrid: false, showline: false, ...(zoom ? { range: zoom } : {}) },
      yaxis: { tickmode: "array", tickvals: named.map(({ i }) => middle(i)), ticktext: named.map(({ layer, i }) => (rows[i + 1]?.layer === null ? `layer ${layer}` : String(layer))), showgrid: false, showline: false, range: [0, edges.at(-1)], fixedrange: true, tickcolor: "rgba(0, 0, 0, 0)" },
      annotations: rows.flatMap(({ title }, i) => (title ? [blockTitle(cut(title, width - margin.l - margin.r), middle(i))] : [])),
    },
    summary: `Heat map of ${measureName} by layer and update for ${counted(series.length, "series", "series")}${values.length > 0 ? `, from ${number(lowest, 2)} to ${number(highest, 2)}` : ""}.`,
    sql,
    table: () => table(series),
  };
}

/** Where rows begin and end, from the bottom, in pixels. */
function edgesOf(rows) {
  const names = rows.filter(({ layer }) => layer === null).length;
  const each = Math.round(Math.min(HIGHEST, Math.max(LOWEST, (ALL - names * NAME) / Math.max(1, rows.length - names))));
  const edges = [0];
  for (const { layer } of rows) edges.push(edges.at(-1) + (layer === null ? NAME : each));
  return edges;
}

/** What of a text has its place in so many pixels. */
function cut(text, pixels) {
  const most = Math.max(8, Math.floor(pixels / CHARACTER));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** Rows from the bottom of the picture: a series' layers, then a line for its name. */
function rowsOf(series, steps) {
  const rows = [];
  for (const { label, lines } of [...series].reverse()) {
    for (const [layer, line] of lines) {
      const held = hold(line, steps);
      rows.push({ label, layer, mean: held.map((i) => (i < 0 ? null : line.mean[i])), n: held.map((i) => (i < 0 ? null : line.n[i])) });
    }
    rows.push({ label, layer: null, title: label, mean: steps.map(() => null) });
  }
  return rows;
}

/** Of each step, the index of the line's point there or before; -1 before its first and after its last. */
function hold(line, steps) {
  let at = -1;
  return steps.map((step) => {
    while (at + 1 < line.step.length && line.step[at + 1] <= step) at += 1;
    return at === line.step.length - 1 && step > line.step[at] ? -1 : at;
  });
}

function blockTitle(title, y) {
  return { xref: "paper", x: 0, xanchor: "left", xshift: -3, yref: "y", y, yshift: -1, yanchor: "middle", text: escaped(title), showarrow: false, font: { size: 12 }, align: "left" };
}

/** Plotly reads some markup in texts. @param {string} text */
export function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Lines of series as rows. @param {import("../data/series.js").Series[]} series */
export function table(series) {
  const rows = series.flatMap(({ label, lines }) =>
    [...lines.values()].flatMap(({ layer, step, n, mean, sd }) => step.map((at, i) => [label, layer || null, at, n[i], mean[i], sd[i]])),
  );
  return { columns: ["series", "layer", "step", "n", "mean", "sd"], rows };
}
