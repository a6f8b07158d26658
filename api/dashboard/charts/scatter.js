/** One outcome against another, a point per trial. */

import { counted } from "../format.js";
import { escaped } from "./heatmap.js";
import { SYMBOLS } from "./palette.js";

/**
 * @param {{label: string, colour: string, dash: string, points: any[]}[]} given points: trials as the API's list has them
 * @param {{x: {name: string, label: string}, y: {name: string, label: string, log?: any}, sql: string, note: string}} options
 * @returns {import("./chart.js").Drawing}
 */
export function scatter(given, { x, y, sql, note }) {
  const series = given.map((one) => ({ ...one, points: one.points.filter((trial) => trial[x.name] !== null && trial[y.name] !== null) }));
  const count = series.reduce((sum, { points }) => sum + points.length, 0);
  return {
    traces: series.map(({ label, colour, dash, points }) => ({
      type: "scatter",
      mode: "markers",
      name: escaped(label),
      x: points.map((trial) => trial[x.name]),
      y: points.map((trial) => trial[y.name]),
      customdata: points.map((trial) => [trial.id, trial.seed, escaped(label)]),
      hovertemplate: `%{customdata[2]}<br>trial %{customdata[0]}, seed %{customdata[1]}<br>${x.label} %{x:.3f}<br>${y.label} %{y:.4g}<extra></extra>`,
      marker: { color: colour, symbol: SYMBOLS[dash], size: 7, opacity: 0.75, line: { width: 0 } },
    })),
    layout: {
      height: 380,
      margin: { l: 62, r: 12, t: 8, b: 44 },
      xaxis: { title: x.label },
      yaxis: { title: y.label, ...(y.log ?? {}) },
    },
    note,
    summary: `${y.label} against ${x.label} of ${counted(count, "trial")}.`,
    sql,
    table: () => ({
      columns: ["trial_id", "seed", "series", x.name, y.name],
      rows: series.flatMap(({ label, points }) => points.map((trial) => [trial.id, trial.seed, label, trial[x.name], trial[y.name]])),
    }),
  };
}
