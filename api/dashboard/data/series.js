/**
 * Series for charts, as the server has pooled groups into them. A series in which nothing is defined has no lines.
 *
 * @typedef {import("./fold.js").Curve} Curve
 * @typedef {{layer: number, step: number[], n: number[], mean: (number | null)[], sd: (number | null)[]}} Line
 * @typedef {{id: string, label: string, value: any, theory: boolean, groups: number, missing: number, lines: Map<number, Line>}} Series `missing`: trials in which the
 *   measure is defined nowhere
 */

import { nameOf, valueName } from "./axes.js";
import { extent } from "./numbers.js";

const KIND = "model.kind";
/** What series are asked for: all in one. */
export const ALL = null;

/** Whether theories are series beside those of their simulations. @param {import("./axes.js").Axis[]} axes @param {string | null} by */
function splits(axes, by) {
  return by !== KIND && axes.some(({ name, values }) => name === KIND && values.includes("theory"));
}

/**
 * What to ask the API for. @param {import("./axes.js").Axis[]} axes
 * @param {{by: string | null, where: Record<string, string>}} selection `by`: an axis, "" for every group by itself,
 *   ALL; `where`: values as JSON
 */
export function question(axes, { by, where }) {
  const chosen = Object.entries(where).filter(([, value]) => value !== "");
  return {
    by: by === "" ? undefined : [by === ALL ? [] : by, splits(axes, by) ? KIND : []].flat(),
    where: chosen.length > 0 ? `{${chosen.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}` : undefined,
  };
}

/**
 * @param {Curve[]} curves @param {string} measure @param {string | null} by as they were asked for
 * @param {import("./axes.js").Axis[]} axes
 * @returns {Series[]}
 */
export function seriesOf(curves, measure, by, axes) {
  const split = splits(axes, by);
  const found = new Map();
  for (const curve of curves) {
    if (!found.has(curve.key)) found.set(curve.key, { curve, trials: 0, defined: 0, lines: new Map() });
    const { n, mean, sd } = curve.measures[measure] ?? { n: [], mean: [], sd: [] };
    const own = found.get(curve.key);
    own.trials = most(curve.n, own.trials);
    own.defined = most(n.filter((_, i) => mean[i] !== null), own.defined);
    if (mean.some((value) => value !== null)) own.lines.set(curve.layer, { layer: curve.layer, step: curve.step, n, mean, sd });
  }
  const named = axes.filter(({ name }) => !split || name !== KIND);
  const series = [...found.values()].map(({ curve: { key, varied, groups }, trials, defined, lines }) => {
    const theory = split && varied[KIND] === "theory";
    const value = by === "" ? null : (varied[by] ?? null);
    const label = by === "" ? nameOf(varied, named) : valueName(by ?? "", value, []);
    const id = by === "" ? key : `${JSON.stringify(value)}${theory ? "/theory" : ""}`;
    return { id, theory, label: theory ? `${label} (theory)` : label, value, groups, missing: trials - defined, lines: new Map([...lines].sort(([a], [b]) => a - b)) };
  });
  if (axes.find(({ name }) => name === by)?.ordered) series.sort((a, b) => a.value - b.value);
  return series.sort((a, b) => Number(a.theory) - Number(b.theory));
}

function most(counts, atLeast) {
  return extent(counts, [0, atLeast])[1];
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
