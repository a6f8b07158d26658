-- Entries at the start and at the end, over runs that differ in their samples alone.
WITH runs AS MATERIALIZED (
    SELECT trial_id, model, activation, rule, steps, (config #>> '{model,hidden,0}')::integer AS units
    FROM v_trials
    WHERE sweep_id = :starts
)
SELECT runs.activation, runs.rule, runs.units, p.quantity, p.i, p.j,
    count(*) FILTER (WHERE runs.model = 'committee' AND p.step = runs.steps) AS n,
    avg(p.value) FILTER (WHERE runs.model = 'theory' AND p.step = 0) AS initial,
    avg(p.value) FILTER (WHERE runs.model = 'theory' AND p.step = runs.steps) AS theory,
    avg(p.value) FILTER (WHERE runs.model = 'committee' AND p.step = runs.steps) AS simulation,
    stddev_samp(p.value) FILTER (WHERE runs.model = 'committee' AND p.step = runs.steps) AS sd
FROM runs
JOIN v_order_parameters AS p USING (trial_id)
WHERE p.quantity IN ('R', 'v') OR p.quantity = 'Q' AND p.i <= p.j
GROUP BY runs.activation, runs.units, runs.rule, p.quantity, p.i, p.j
ORDER BY runs.activation, runs.units, runs.rule, p.quantity, p.i, p.j
