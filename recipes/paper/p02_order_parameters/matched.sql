-- How far Q, R and v come apart under the two rules, relative to how far backpropagation has moved them.
WITH runs AS MATERIALIZED (
    SELECT trial_id, activation, rule, seed, (config #>> '{model,hidden,0}')::integer AS units,
        (config #>> '{data,inputs}')::double precision AS inputs
    FROM v_trials
    WHERE sweep_id = :matched
), entries AS (
    SELECT runs.activation, runs.units, runs.seed, p.step, p.step / runs.inputs AS time, p.quantity, p.i, p.j,
        max(p.value) FILTER (WHERE runs.rule = 'bp') AS bp, max(p.value) FILTER (WHERE runs.rule = 'dfa') AS dfa
    FROM runs
    JOIN v_order_parameters AS p USING (trial_id)
    WHERE p.quantity IN ('Q', 'R', 'v')
    GROUP BY runs.activation, runs.units, runs.seed, runs.inputs, p.step, p.quantity, p.i, p.j
), changes AS (
    SELECT *, bp - first_value(bp) OVER (PARTITION BY activation, units, seed, quantity, i, j ORDER BY step) AS change
    FROM entries
)
SELECT activation, units, seed, step, time, sqrt(sum((dfa - bp) ^ 2) / sum(change ^ 2)) AS apart
FROM changes
WHERE step > 0
GROUP BY activation, units, seed, step, time
ORDER BY activation, units, seed, step
