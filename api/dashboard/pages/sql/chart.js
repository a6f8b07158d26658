/** An answer as a chart: which columns are drawn stands in the address. */

import { Chart, showLegend } from "../../charts/chart.js";
import { escaped } from "../../charts/heatmap.js";
import { looks } from "../../charts/palette.js";
import { isDark } from "../../charts/plotly.js";
import { check, select } from "../../components/fields.js";
import { fill, h } from "../../dom.js";
import { setting } from "../../format.js";

const MOST_SERIES = 16;

/** @param {{columns: string[], rows: any[][]}} found @param {string} sql @param {import("../../state.js").ViewState} state @param {AbortSignal} signal */
export function answerChart({ columns, rows }, sql, state, signal) {
  const numeric = columns.filter((_, i) => rows.length > 0 && rows.some((row) => typeof row[i] === "number") && rows.every((row) => row[i] === null || typeof row[i] === "number"));
  if (numeric.length === 0 || rows.length < 2) return null;
  const controls = h("form", { class: "controls strip", "aria-label": "What the chart shows" });
  const chart = new Chart({ title: "Answer as a chart", name: "answer", signal });
  const details = h("details", { class: "answer-chart", open: state.get("chart") === "yes" }, h("summary", {}, "Chart"), controls, chart.element);
  const draw = () => {
    const chosen = choices(columns, rows, numeric, state);
    showControls(controls, columns, numeric, chosen, state, draw);
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

function choices(columns, rows, numeric, state) {
  const valid = (name, among, otherwise) => (among.includes(name) ? name : otherwise);
  const words = columns.filter((name) => !numeric.includes(name));
  const x = valid(state.get("cx"), columns, columns.includes("step") ? "step" : (words[0] ?? columns[0]));
  const measured = numeric.filter((name) => name !== x && !["layer", "seed", "n", "trials", "sweep_id"].includes(name));
  const outcome = measured.find((name) => /accuracy|alignment|loss|error/.test(name));
  const y = valid(state.get("cy"), numeric, outcome ?? measured[0] ?? numeric.at(-1));
  const few = columns.filter((name, i) => name !== x && name !== y && new Set(rows.map((row) => JSON.stringify(row[i]))).size <= MOST_SERIES && (words.includes(name) || name === "layer"));
  const by = state.get("cby") === "none" ? "" : valid(state.get("cby"), columns, few[0] ?? "");
  return { x, y, by, log: state.get("clog") === "yes", kind: state.get("ckind") || (numeric.includes(x) ? "line" : "points") };
}

function showControls(place, columns, numeric, { x, y, by, log, kind }, state, draw) {
  const option = (name) => ({ value: name, label: name });
  const set = (name) => (value) => {
    state.set({ [name]: value });
    draw();
  };
  fill(
    place,
    select("Across", columns.map(option), x, set("cx")),
    select("Up", numeric.map(option), y, set("cy")),
    select("Series", [{ value: "none", label: "one" }, ...columns.map(option)], by || "none", set("cby")),
    select("As", [{ value: "line", label: "lines" }, { value: "points", label: "points" }, { value: "bar", label: "bars" }], kind, set("ckind")),
    check("Logarithmic across", log, (value) => set("clog")(value ? "yes" : "")),
  );
}

function drawing(columns, rows, { x, y, by, log, kind }, sql, chart) {
  const [xAt, yAt, byAt] = [x, y, by].map((name) => columns.indexOf(name));
  const groups = new Map();
  for (const row of rows) {
    const name = by === "" ? y : typeof row[byAt] === "string" ? row[byAt] : `${by} ${setting(row[byAt])}`;
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  const shown = [...groups].slice(0, MOST_SERIES);
  const own = looks(shown.length, false, isDark());
  showLegend(chart.legend, by === "" ? [] : shown.map(([label], i) => ({ label, ...own[i], hidden: false })), () => {});
  const traces = shown.map(([name, own_], i) => ({
    type: kind === "bar" ? "bar" : "scatter",
    mode: kind === "points" ? "markers" : "lines+markers",
    name: escaped(name),
    x: own_.map((row) => (typeof row[xAt] === "object" ? setting(row[xAt]) : row[xAt])),
    y: own_.map((row) => row[yAt]),
    marker: { color: own[i].colour, size: kind === "points" ? 8 : 4 },
    line: { color: own[i].colour, dash: own[i].dash, width: 1.6 },
  }));
  const isNumber = rows.every((row) => typeof row[xAt] === "number" || row[xAt] === null);
  return {
    traces,
    layout: { height: 360, margin: { l: 62, r: 12, t: 8, b: 44 }, xaxis: { title: x, ...(log && isNumber ? { type: "log", dtick: 1 } : {}), ...(isNumber ? {} : { type: "category", automargin: true }) }, yaxis: { title: y } },
    note: groups.size > MOST_SERIES ? `The first ${MOST_SERIES} of ${groups.size} series.` : "",
    summary: `${y} against ${x}, ${shown.length} series.`,
    sql,
    table: () => ({ columns, rows }),
  };
}
