/** The queries behind the charts, to be pasted into the SQL page, psql or a notebook. */

/** @param {string} text */
export function quoted(text) {
  return `'${text.replaceAll("'", "''")}'`;
}

/** @param {string} name */
function identifier(name) {
  return `"${name.replaceAll('"', '""')}"`;
}

/** Conditions on the values of groups. @param {Record<string, string>} where values as JSON @param {string} column */
function conditions(where, column = "groups.varied") {
  return Object.entries(where)
    .filter(([, value]) => value !== "")
    .map(([name, value]) => ` AND ${column} -> ${quoted(name)} = ${quoted(value)} ::jsonb`)
    .join("\n    ");
}

/** @param {number[]} sweeps */
function sweepsAre(sweeps, column) {
  return sweeps.length === 1 ? `${column} = ${sweeps[0]}` : `${column} IN (${sweeps.join(", ")})`;
}

/**
 * Means and deviations over the trials of pooled groups. `by`: an axis, "" for every configuration, null for all in one.
 * @param {{sweeps: number[], view: "v_group_curves" | "v_group_alignment_curves", measures: string[], by: string | null,
 *   where: Record<string, string>, layer?: string}} chart
 */
export function curvesSql({ sweeps, view, measures, by, where, layer = "" }) {
  const layered = view === "v_group_alignment_curves";
  const place = layered ? "curves.layer, curves.step" : "curves.step";
  const sweep = sweeps.length > 1 ? ["curves.sweep_id"] : [];
  const grouped = [...sweep, ...(by === null ? [] : [by === "" ? "groups.varied" : `groups.varied -> ${quoted(by)}`]), place];
  const series = grouped.map((column) => (by && column.endsWith(quoted(by)) ? `${column} AS ${identifier(by)}` : column));
  return `WITH groups AS (
    SELECT DISTINCT group_id, varied FROM v_trials WHERE ${sweepsAre(sweeps, "sweep_id")}
)
SELECT ${series.join(", ")}, sum(curves.n) AS n,
${measures.map(statistics).join(",\n")}
FROM v_group${layered ? "_alignment" : ""}_curves AS curves JOIN groups USING (group_id)
WHERE ${sweepsAre(sweeps, "curves.sweep_id")}${conditions(where)}${layer === "" ? "" : ` AND curves.layer = ${layer}`}
GROUP BY ${grouped.join(", ")}
ORDER BY ${grouped.join(", ")}`;
}

/** Over all trials of the groups, from n, mean and deviation of each. */
function statistics(measure) {
  const [n, mean, sd] = ["curves.n", `curves.${measure}_mean`, `curves.${measure}_sd`];
  const counted = `sum(${n}) FILTER (WHERE ${mean} IS NOT NULL)`;
  return `    sum(${n} * ${mean}) / ${counted} AS ${measure}_mean,
    sqrt(greatest(0, sum((${n} - 1) * coalesce(${sd}, 0) ^ 2) + sum(${n} * ${mean} ^ 2)
        - sum(${n} * ${mean}) ^ 2 / ${counted}) / nullif(${counted} - 1, 0)) AS ${measure}_sd`;
}

/** When layers align and when the loss falls: medians over trials. @param {{sweeps: number[], by: string, where: Record<string, string>}} chart */
export function phasesSql({ sweeps, by, where }) {
  const series = by === "" ? "trials.group_hash" : `trials.varied -> ${quoted(by)}`;
  return `SELECT ${series} AS series, phases.layer, count(*) AS trials,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY phases.aligned_at_step) AS aligned_at_step,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY phases.loss_halved_at_step) AS loss_halved_at_step
FROM v_phases AS phases JOIN v_trials AS trials USING (trial_id)
WHERE ${sweepsAre(sweeps, "phases.sweep_id")}${conditions(where, "trials.varied")}
GROUP BY ${series}, phases.layer
ORDER BY ${series}, phases.layer`;
}

/** @param {{sweep: number, columns: string[], where: Record<string, string>}} chart */
export function outcomesSql({ sweep, columns, where }) {
  return `SELECT trial_id, seed, varied, ${columns.join(", ")}
FROM v_trials
WHERE sweep_id = ${sweep} AND state = 'succeeded'${conditions(where, "varied")}
ORDER BY position
LIMIT 10000`;
}

/**
 * Configurations over their seeds, with the alignment of each layer.
 * @param {{sweep: number, axes: string[], metrics: string[], layers: number[], spread: string[]}} table `spread`: the columns beside each mean
 */
export function groupsSql({ sweep, axes, metrics, layers, spread }) {
  const kinds = ["mean", ...spread];
  const own = [...axes.map((name) => `varied -> ${quoted(name)} AS ${identifier(name)}`), "n", "diverged", ...metrics.flatMap((name) => kinds.map((kind) => `${name}_${kind}`))];
  const aligned = layers.flatMap((layer) => kinds.map((kind) => `max(gradient_alignment_${kind}) FILTER (WHERE layer = ${layer}) AS alignment_${layer}_${kind}`));
  const joined = layers.length === 0 ? "" : `
CROSS JOIN LATERAL (
    SELECT ${aligned.join(",\n        ")}
    FROM v_group_alignment WHERE group_id = groups.group_id
) AS aligned`;
  return `SELECT ${lines(layers.length === 0 ? own : [...own, "aligned.*"])}
FROM v_group_stats AS groups${joined}
WHERE sweep_id = ${sweep}
ORDER BY group_id`;
}

/** Columns, several on a line. @param {string[]} columns */
function lines(columns) {
  const found = [""];
  for (const column of columns) {
    const last = found.at(-1);
    if (last.length + column.length > 100) found.push(column);
    else found[found.length - 1] = last === "" ? column : `${last}, ${column}`;
  }
  return found.join(",\n    ");
}

/** The trace of one trial. @param {number} trial */
export function traceSql(trial) {
  return `SELECT step, layer, gradient_alignment, weight_alignment, weight_gradient_alignment, delta_norm_ratio, weight_norm
FROM v_alignment
WHERE trial_id = ${trial}
ORDER BY layer, step`;
}

/** The measurements of one trial. @param {number} trial */
export function metricsSql(trial) {
  return `SELECT step, epoch, train_loss, test_loss, train_accuracy, test_accuracy, gradient_alignment, weight_alignment,
    generalisation_error
FROM v_curves
WHERE trial_id = ${trial}
ORDER BY step`;
}
