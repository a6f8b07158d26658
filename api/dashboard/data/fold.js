/**
 * Rows of the API's curves, folded into one curve per group and layer.
 *
 * @typedef {{mean: (number | null)[], sd: (number | null)[]}} Spread
 * @typedef {{key: string, varied: Record<string, any>, layer: number, step: number[], n: number[],
 *   measures: Record<string, Spread>}} Curve `layer`: 0 for measures of the whole network; `key`: the group's hash
 * @typedef {{curves: Curve[], total: number, shown: number, sampled: boolean}} Folded
 */

const SUFFIX = "_mean";

/** @param {{items: any[], points_total: number, points_shown: number, sampled: boolean}} answer @returns {Folded} */
export function fold(answer) {
  const curves = new Map();
  const names = answer.items.length > 0 ? Object.keys(answer.items[0]).filter((name) => name.endsWith(SUFFIX)) : [];
  const measures = names.map((name) => name.slice(0, -SUFFIX.length));
  for (const item of answer.items) {
    const layer = item.layer ?? 0;
    const id = `${item.group_hash}/${layer}`;
    let curve = curves.get(id);
    if (curve === undefined) {
      curve = { key: item.group_hash, varied: item.varied, layer, step: [], n: [], measures: {} };
      for (const name of measures) curve.measures[name] = { mean: [], sd: [] };
      curves.set(id, curve);
    }
    curve.step.push(item.step);
    curve.n.push(item.n);
    for (const name of measures) {
      curve.measures[name].mean.push(item[`${name}_mean`]);
      curve.measures[name].sd.push(item[`${name}_sd`]);
    }
  }
  return { curves: [...curves.values()], total: answer.points_total, shown: answer.points_shown, sampled: answer.sampled };
}
