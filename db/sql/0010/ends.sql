-- Of the sweeps that are there.
INSERT INTO sweep_ends (sweep_id, succeeded, failed, cancelled)
SELECT sweep_id, count(*) FILTER (WHERE state = 'succeeded'), count(*) FILTER (WHERE state = 'failed'),
    count(*) FILTER (WHERE state = 'cancelled')
FROM trials GROUP BY sweep_id;
