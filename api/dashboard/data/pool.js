/**
 * Series for charts: groups pooled by an axis. Means and deviations are those over all trials of the pooled groups, put
 * together from n, mean and standard deviation of each: nothing is an average of averages. A series in which nothing is
 * defined has no lines.
 *
 * @typedef {import("./fold.js").Curve} Curve
 * @typedef {{layer: number, step: number[], n: number[], mean: (number | null)[], sd: (number | null)[]}} Line
 * @typedef {{id: string, label: string, value: any, theory: boolean, groups: number, lines: Map<number, Line>}} Series
 */

import { axesOf, nameOf, valueName } from "./axes.js";

const KIND = "model.kind";

/**
 * @param {Curve[]} curves @param {string} measure @param {string} by an axis; "" for every configuration by itself
 * @returns {Series[]}
 */
export function seriesOf(curves, measure, by) {
  const axes = axesOf(curves);
  const split = by !== KIND && axes.some(({ name, values }) => name === KIND && values.includes("theory"));
  const found = new Map();
  for (const curve of curves) {
    const theory = curve.varied[KIND] === "theory";
    const own = by === "" ? curve.key : JSON.stringify(curve.varied[by] ?? null);
    const id = split && by !== "" && theory ? `${own}/theory` : own;
    if (!found.has(id)) found.set(id, { id, theory: split && theory, curves: [] });
    found.get(id).curves.push(curve);
  }
  const series = [...found.values()].map(({ id, theory, curves: own }) => {
    const { varied } = own[0];
    const label = by === "" ? nameOf(varied, axes.filter(({ name }) => !split || name !== KIND)) : valueName(by, varied[by] ?? null, axes.slice(0, 1));
    return { id, theory, label: theory ? `${label} (theory)` : label, value: by === "" ? label : (varied[by] ?? null), groups: new Set(own.map(({ key }) => key)).size, lines: lines(own, measure) };
  });
  const order = axes.find(({ name }) => name === by);
  if (order?.ordered) series.sort((a, b) => a.value - b.value);
  return series.sort((a, b) => Number(a.theory) - Number(b.theory));
}

/** One line per layer that has any value. */
function lines(curves, measure) {
  const layers = Map.groupBy ? Map.groupBy(curves, ({ layer }) => layer) : grouped(curves);
  const found = new Map();
  for (const layer of [...layers.keys()].sort((a, b) => a - b)) {
    const line = pooled(layers.get(layer), measure);
    if (line.mean.some((value) => value !== null)) found.set(layer, { layer, ...line });
  }
  return found;
}

function grouped(curves) {
  const layers = new Map();
  for (const curve of curves) layers.set(curve.layer, [...(layers.get(curve.layer) ?? []), curve]);
  return layers;
}

/** @param {Curve[]} curves of one layer @param {string} measure */
export function pooled(curves, measure) {
  if (curves.length === 1) {
    const { step, n, measures } = curves[0];
    return { step, n, mean: measures[measure]?.mean ?? [], sd: measures[measure]?.sd ?? [] };
  }
  const sums = new Map();
  for (const { step, n, measures } of curves) {
    const { mean, sd } = measures[measure] ?? { mean: [], sd: [] };
    for (let i = 0; i < mean.length; i += 1) {
      if (mean[i] === null) continue;
      const sum = sums.get(step[i]) ?? { n: 0, first: 0, within: 0, squares: 0 };
      sum.n += n[i];
      sum.first += n[i] * mean[i];
      sum.squares += n[i] * mean[i] * mean[i];
      sum.within += (n[i] - 1) * (sd[i] ?? 0) ** 2;
      sums.set(step[i], sum);
    }
  }
  const steps = [...sums.keys()].sort((a, b) => a - b);
  const at = steps.map((step) => sums.get(step));
  return { step: steps, n: at.map((sum) => sum.n), mean: at.map((sum) => sum.first / sum.n), sd: at.map(deviation) };
}

function deviation({ n, first, within, squares }) {
  if (n < 2) return null;
  return Math.sqrt(Math.max(0, within + squares - (first * first) / n) / (n - 1));
}

/** Running mean over so many trace points, an odd number, fewer at the ends. @param {Line} line @param {number} width @returns {Line} */
export function smoothed(line, width) {
  if (width <= 1) return line;
  const half = Math.floor(width / 2);
  const running = (values) =>
    values.map((value, i) => {
      if (value === null) return null;
      const reach = Math.min(half, i, values.length - 1 - i);
      const near = values.slice(i - reach, i + reach + 1).filter((other) => other !== null);
      return near.reduce((sum, other) => sum + other, 0) / near.length;
    });
  return { ...line, mean: running(line.mean), sd: running(line.sd) };
}
