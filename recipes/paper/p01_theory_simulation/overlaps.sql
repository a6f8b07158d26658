-- How far the entries of Q, R and v come apart at most, and the largest entry of the theory.
WITH runs AS MATERIALIZED (
    SELECT trial_id, model, rule, seed, (config #>> '{model,init_scale}')::double precision AS init_scale,
        (config #>> '{data,inputs}')::integer AS inputs
    FROM v_trials
    WHERE sweep_id = :erf
), entries AS (
    SELECT runs.rule, runs.seed, runs.init_scale, runs.inputs, p.quantity,
        max(p.value) FILTER (WHERE runs.model = 'theory') AS theory,
        max(p.value) FILTER (WHERE runs.model = 'committee') AS simulation
    FROM runs
    JOIN v_order_parameters AS p USING (trial_id)
    WHERE p.quantity IN ('Q', 'R', 'v')
    GROUP BY runs.inputs, runs.init_scale, runs.rule, runs.seed, p.quantity, p.step, p.i, p.j
)
SELECT rule, seed, init_scale, inputs, quantity,
    max(abs(simulation - theory)) AS apart, max(abs(theory)) AS largest
FROM entries
GROUP BY inputs, init_scale, rule, quantity, seed
ORDER BY inputs, init_scale, rule, quantity, seed
