/**
 * Rows of the API's curves, folded into one curve per series and layer.
 *
 * @typedef {{n: number[], mean: (number | null)[], sd: (number | null)[]}} Spread
 * @typedef {{key: string, varied: Record<string, any>, groups: number, layer: number, step: number[], n: number[],
 *   measures: Record<string, Spread>}} Curve `layer`: 0 for measures of the whole network; `key`: the group's hash, or
 *   the values on the axes that groups are pooled by
 * @typedef {{curves: Curve[], total: number, shown: number, sampled: boolean, left: number}} Folded `left`: series that
 *   were not asked for
 */

const SUFFIX = "_mean";

/** @param {any} answer @returns {Folded} */
export function fold(answer) {
  const curves = new Map();
  const names = answer.items.length > 0 ? Object.keys(answer.items[0]).filter((name) => name.endsWith(SUFFIX)) : [];
  const measures = names.map((name) => name.slice(0, -SUFFIX.length));
  for (const item of answer.items) {
    const layer = item.layer ?? 0;
    const key = item.group_hash ?? JSON.stringify(item.varied);
    const id = `${key}/${layer}`;
    let curve = curves.get(id);
    if (curve === undefined) {
      curve = { key, varied: item.varied, groups: item.groups ?? 1, layer, step: [], n: [], measures: {} };
      for (const name of measures) curve.measures[name] = { n: [], mean: [], sd: [] };
      curves.set(id, curve);
    }
    curve.step.push(item.step);
    curve.n.push(item.n);
    for (const name of measures) {
      const { n, mean, sd } = curve.measures[name];
      n.push(item[`${name}_n`] ?? item.n);
      mean.push(item[`${name}_mean`]);
      sd.push(item[`${name}_sd`]);
    }
  }
  return {
    curves: [...curves.values()],
    total: answer.points_total,
    shown: answer.points_shown,
    sampled: answer.sampled,
    left: answer.series_total - answer.series_shown,
  };
}
