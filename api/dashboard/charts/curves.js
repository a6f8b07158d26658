/** Curves against the updates, mean and standard deviation, in panels side by side or one above the other. */

import { extent } from "../data/numbers.js";
import { smoothed } from "../data/series.js";
import { faint } from "./palette.js";
import { escaped } from "./heatmap.js";
import { placeOf, stepAxis } from "./steps.js";

/**
 * @typedef {{title: string, yTitle?: string, range?: [number, number], log?: any, lines: {series: number, line: import("../data/series.js").Line}[]}} Panel
 * @typedef {{label: string, colour: string, dash: string, theory: boolean}} Look
 * @typedef {{step: number, text: string, colour: string, panel: number, dash: string}} Mark a vertical line
 */

const GAP = 0.06;
const LEAST_RATIO = 10;
/** By how much a logarithmic axis goes beyond the means. */
const MARGIN_RATIO = 1.4;

/** A logarithmic axis where values are better seen on one: all positive, over a decade at least. @param {(number | null)[]} values */
export function logAxis(values) {
  const defined = values.filter((value) => value !== null);
  const [least, most] = extent(defined);
  if (defined.length === 0 || least <= 0 || most / least < LEAST_RATIO) return null;
  // The range is that of the means: a band may leave the picture, and would press them into a line if it did not.
  const range = [Math.log10(least / MARGIN_RATIO), Math.log10(most * MARGIN_RATIO)];
  const ticks = ticksBetween(...range);
  return { type: "log", range, tickmode: "array", tickvals: ticks, ticktext: ticks.map(tickText) };
}

/** Powers of ten, with 2 and 5 between where there are few, every other one where there are many. */
function ticksBetween(low, high) {
  const digits = high - low < 2.2 ? [1, 2, 5] : [1];
  const stride = Math.max(1, Math.ceil((high - low) / 6));
  const found = [];
  for (let decade = Math.floor(low); decade <= high; decade += 1) {
    if (digits.length > 1 || decade % stride === 0) found.push(...digits.map((digit) => digit * 10 ** decade));
  }
  return found.filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
}

function tickText(value) {
  const exponent = Math.round(Math.log10(value));
  return exponent < -3 || exponent > 4 ? `10<sup>${exponent}</sup>` : String(Number(value.toPrecision(1)));
}

/** The range of an axis of cosines: all bands, but nothing that no cosine can be. @param {import("../data/series.js").Line[]} lines */
export function cosineRange(lines) {
  const ends = lines.flatMap(({ mean, sd }) => mean.flatMap((value, i) => (value === null ? [] : [value - (sd[i] ?? 0), value + (sd[i] ?? 0)])));
  const [low, high] = extent(ends, [0, 0.1]);
  return [Math.max(-1.02, low - 0.03), Math.min(1.02, high + 0.05)];
}

/**
 * @param {Panel[]} panels @param {Look[]} looks by number of series
 * @param {{scale: string, bands: boolean, smooth: number, columns: number, panelHeight: number, zoom?: [number, number],
 *   marks?: Mark[]}} options
 */
export function curves(panels, looks, { scale, bands, smooth, columns, panelHeight, zoom, marks = [] }) {
  const rows = Math.max(1, Math.ceil(panels.length / columns));
  const height = rows * panelHeight + 54;
  const last = Math.max(1, ...panels.flatMap(({ lines }) => lines.map(({ line }) => line.step.at(-1) ?? 0)));
  const layout = { height, margin: { l: panels.some(({ yTitle }) => yTitle) ? 62 : 48, r: 12, t: 22, b: 44 }, annotations: [], shapes: [] };
  const traces = [];
  panels.forEach((panel, i) => {
    const suffix = i === 0 ? "" : String(i + 1);
    const [row, column] = [Math.floor(i / columns), i % columns];
    const below = i + columns >= panels.length;
    Object.assign(layout, axes(panel, suffix, { row, column, rows, columns, below, scale, last, zoom, height }));
    layout.annotations.push(panelTitle(panel.title, suffix));
    for (const { series, line } of panel.lines) {
      const shown = smoothed(line, smooth);
      if (bands && !looks[series].theory) traces.push(...band(shown, looks[series], suffix, scale, panel.log));
      traces.push(curve(shown, looks[series], suffix, scale));
    }
  });
  for (const { step, colour, panel, dash } of marks) {
    const suffix = panel === 0 ? "" : String(panel + 1);
    const x = placeOf(step, scale);
    layout.shapes.push({ type: "line", xref: `x${suffix}`, yref: `y${suffix} domain`, x0: x, x1: x, y0: 0, y1: 1, line: { color: colour, width: 1, dash } });
  }
  return { traces, layout };
}

function axes(panel, suffix, { row, column, rows, columns, below, scale, last, zoom, height }) {
  const gapBelow = Math.min(0.3, 34 / (height - 66));
  const [width, tall] = [(1 - GAP * (columns - 1)) / columns, (1 - gapBelow * (rows - 1)) / rows];
  const left = column * (width + GAP);
  const top = 1 - row * (tall + gapBelow);
  const steps = stepAxis(last, scale, zoom);
  return {
    [`xaxis${suffix}`]: {
      ...steps,
      title: below ? steps.title : undefined,
      showticklabels: below,
      domain: [left, left + width],
      anchor: `y${suffix}`,
      ...(suffix === "" ? {} : { matches: "x" }),
      ...(zoom ? { range: zoom } : {}),
    },
    [`yaxis${suffix}`]: {
      domain: [Math.max(0, top - tall), top],
      anchor: `x${suffix}`,
      nticks: 6,
      ...(panel.yTitle && column === 0 ? { title: panel.yTitle } : {}),
      ...(panel.log ?? {}),
      ...(panel.range ? { range: panel.range } : {}),
    },
  };
}

function panelTitle(title, suffix) {
  return { xref: `x${suffix} domain`, yref: `y${suffix} domain`, x: 0, y: 1, xanchor: "left", yanchor: "bottom", text: escaped(title), showarrow: false, font: { size: 12 } };
}

function curve(line, look, suffix, scale) {
  return {
    type: "scatter",
    mode: line.step.length === 1 ? "markers" : "lines",
    name: escaped(look.label),
    x: line.step.map((step) => placeOf(step, scale)),
    y: line.mean,
    customdata: line.step.map((step, i) => [step, line.n[i], line.sd[i] === null ? "–" : line.sd[i]?.toPrecision(2), line.layer]),
    hovertemplate: `${escaped(look.label)}<br>%{customdata[0]} updates: %{y:.4g} ± %{customdata[2]} (n = %{customdata[1]})<extra></extra>`,
    xaxis: `x${suffix}`,
    yaxis: `y${suffix}`,
    line: { color: look.colour, width: look.theory ? 2.2 : 1.6, dash: look.theory ? "dash" : look.dash },
    connectgaps: false,
  };
}

/** From one deviation below the mean to one above, in runs without gaps. */
function band(line, look, suffix, scale, log) {
  const runs = [];
  let run = [];
  line.mean.forEach((mean, i) => {
    if (mean === null || line.sd[i] === null || line.sd[i] === undefined) {
      if (run.length > 1) runs.push(run);
      run = [];
    } else run.push(i);
  });
  if (run.length > 1) runs.push(run);
  // Below zero there is no logarithm: the band ends at a hundredth of the mean.
  const low = (i) => (log ? Math.max(line.mean[i] - line.sd[i], line.mean[i] / 100) : line.mean[i] - line.sd[i]);
  return runs.map((points) => ({
    type: "scatter",
    mode: "lines",
    x: [...points, ...points.toReversed()].map((i) => placeOf(line.step[i], scale)),
    y: [...points.map((i) => line.mean[i] + line.sd[i]), ...points.toReversed().map(low)],
    xaxis: `x${suffix}`,
    yaxis: `y${suffix}`,
    fill: "toself",
    fillcolor: faint(look.colour, 0.16),
    line: { width: 0 },
    hoverinfo: "skip",
    name: `${escaped(look.label)} ± sd`,
  }));
}
