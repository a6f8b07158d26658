-- Of the sweeps that are there.
UPDATE sweep_ends SET diverged = counted.n
FROM (
    SELECT sweep_id, count(*) AS n FROM trials WHERE state = 'succeeded' AND reason = 'diverged' GROUP BY sweep_id
) AS counted
WHERE counted.sweep_id = sweep_ends.sweep_id;

CREATE OR REPLACE VIEW v_errors AS
SELECT sweep_id, error, trials, last_at, example FROM sweep_errors;

COMMENT ON COLUMN v_errors.error IS 'What the errors have in common: the last line, # where numbers are.';
COMMENT ON COLUMN v_errors.example IS 'The last line of the newest of them, as it is.';
