/** An answer as a chart: which columns are drawn stands in the address. */

import { Chart, showLegend } from "../../charts/chart.js";
import { escaped } from "../../charts/heatmap.js";
import { looks } from "../../charts/palette.js";
import { isDark } from "../../charts/plotly.js";
import { check, select } from "../../components/fields.js";
import { fill, h } from "../../dom.js";
import { counted } from "../../format.js";
import { axesOf, barsOf, columnsOf } from "./choices.js";
import { numberOf, shown } from "./values.js";

const MOST_SERIES = 16;
const DECADES = 2;
/** So many whole numbers are all written at the axis: layers, for instance. */
const MOST_TICKS = 16;

/** @param {{columns: string[], rows: any[][]}} found @param {string} sql @param {import("../../state.js").ViewState} state @param {AbortSignal} signal */
export function answerChart({ columns: names, rows }, sql, state, signal) {
  const columns = columnsOf(names, rows);
  if (!columns.some(({ numeric }) => numeric) || rows.length < 2) return null;
  const controls = h("form", { class: "controls strip", "aria-label": "What the chart shows" });
  const chart = new Chart({ title: "Answer as a chart", name: "answer", signal });
  const details = h("details", { class: "answer-chart", open: state.get("chart") === "yes" }, h("summary", {}, "Chart"), controls, chart.element);
  const draw = () => {
    const chosen = choices(columns, rows, state);
    showControls(controls, columns, chosen, state, draw);
    chart.draw(JSON.stringify([chosen, isDark()]), () => drawing(columns, rows, chosen, sql, chart));
  };
  details.addEventListener("toggle", () => {
    state.set({ chart: details.open ? "yes" : "" });
    if (details.open) draw();
  });
  if (details.open) requestAnimationFrame(draw);
  document.addEventListener("theme", () => details.isConnected && details.open && draw(), { signal });
  return details;
}

function choices(columns, rows, state) {
  const axes = axesOf(columns, { x: state.get("cx"), y: state.get("cy"), by: state.get("cby") });
  const across = columns.findIndex(({ name }) => name === axes.x);
  const { numeric } = columns[across];
  const bars = barsOf(columns.map(({ name }) => name), axes.y);
  return {
    ...axes,
    numeric,
    bars: bars.find(({ value }) => value === state.get("cbars"))?.value ?? (state.get("cbars") === "none" ? "" : (bars[0]?.value ?? "")),
    log: numeric && (state.get("clog") === "" ? spansDecades(rows.map((row) => numberOf(row[across]))) : state.get("clog") === "yes"),
    kind: state.get("ckind") || (numeric ? "line" : "points"),
  };
}

function spansDecades(values) {
  const defined = values.filter((value) => value !== null);
  return Math.min(...defined) > 0 && Math.max(...defined) >= 10 ** DECADES * Math.min(...defined);
}

function showControls(place, columns, { x, y, by, apart, bars, log, kind, numeric }, state, draw) {
  const option = ({ name }) => ({ value: name, label: name });
  const set = (name) => (value) => {
    state.set({ [name]: value });
    draw();
  };
  const series = [...(apart.length > 1 ? [{ value: "", label: apart.join(", ") }] : []), { value: "none", label: "one" }, ...columns.map(option)];
  const offered = barsOf(columns.map(({ name }) => name), y);
  fill(
    place,
    select("Across", columns.map(option), x, set("cx")),
    select("Up", columns.filter((column) => column.numeric).map(option), y, set("cy")),
    select("Series", series, by.length > 1 ? "" : (by[0] ?? "none"), set("cby")),
    offered.length > 0 && select("Error bars", [...offered, { value: "none", label: "none" }], bars || "none", set("cbars")),
    select("As", [{ value: "line", label: "lines" }, { value: "points", label: "points" }, { value: "bar", label: "bars" }], kind, set("ckind")),
    numeric && check("Logarithmic across", log, (value) => set("clog")(value ? "yes" : "no")),
  );
}

function drawing(columns, rows, chosen, sql, chart) {
  const { x, y, by, bars, kind, numeric } = chosen;
  const names = columns.map(({ name }) => name);
  const at = names.indexOf(x);
  const placed = numeric ? rows.filter((row) => row[at] !== null).sort((a, b) => numberOf(a[at]) - numberOf(b[at])) : rows;
  const groups = seriesOf(names, placed, by, y);
  const drawn = [...groups].slice(0, MOST_SERIES);
  const own = looks(drawn.length, false, isDark());
  showLegend(chart.legend, by.length === 0 ? [] : drawn.map(([label], i) => ({ label, ...own[i] })));
  const text = shown(rows.map((row) => row[at]));
  const spread = barsOf(names, y).find(({ value }) => value === bars);
  const traces = drawn.map(([name, group], i) => ({
    type: kind === "bar" ? "bar" : "scatter",
    mode: kind === "points" ? "markers" : "lines+markers",
    name: escaped(name),
    x: group.map((row) => (numeric ? numberOf(row[at]) : escaped(text(row[at])))),
    y: group.map((row) => numberOf(row[names.indexOf(y)])),
    error_y: spread && errors(group.map((row) => spread.of(row))),
    marker: { color: own[i].colour, size: kind === "points" ? 8 : 4 },
    line: { color: own[i].colour, dash: own[i].dash, width: 1.6 },
  }));
  const left = rows.length - placed.length;
  return {
    traces,
    layout: { height: 360, margin: { l: 62, r: 12, t: 8, b: 44 }, xaxis: { title: escaped(x), ...scale(chosen, placed.map((row) => row[at])) }, yaxis: { title: escaped(y) } },
    note: [groups.size > MOST_SERIES && `The first ${MOST_SERIES} of ${groups.size} series.`, left > 0 && `${counted(left, "row")} without ${x}: in the table alone.`].filter(Boolean).join(" "),
    summary: `${y} against ${x}, ${counted(drawn.length, "series", "series")}${spread ? `, with ${spread.label}` : ""}.`,
    sql,
    table: () => ({ columns: names, rows }),
  };
}

function scale({ log, numeric }, values) {
  if (!numeric) return { type: "category", automargin: true };
  if (log) return { type: "log", dtick: 1 };
  const numbers = values.map(numberOf);
  return numbers.every(Number.isInteger) && Math.max(...numbers) - Math.min(...numbers) < MOST_TICKS ? { dtick: 1 } : {};
}

/** Rows by the values that tell series apart. @param {string[]} by */
function seriesOf(names, rows, by, y) {
  const parts = by.map((name) => {
    const at = names.indexOf(name);
    const text = shown(rows.map((row) => row[at]));
    return (row) => (typeof row[at] === "string" || typeof row[at] === "object" ? text(row[at]) : `${name} ${text(row[at])}`);
  });
  const groups = new Map();
  for (const row of rows) {
    const label = parts.map((part) => part(row)).filter((part) => parts.length === 1 || part !== "–").join(", ") || y;
    groups.set(label, [...(groups.get(label) ?? []), row]);
  }
  return groups;
}

function errors(spreads) {
  return { type: "data", symmetric: false, array: spreads.map(([, up]) => up), arrayminus: spreads.map(([down]) => down), width: 3, thickness: 1.2 };
}
