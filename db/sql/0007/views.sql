-- One row per sweep. `tags` and `notes` are its owner's.
CREATE OR REPLACE VIEW v_sweeps AS
SELECT
    id AS sweep_id, name, owner, state, priority, trial_count, created_at, started_at, finished_at, spec,
    pause_reason, cpu, gpu, max_running, trial_seconds, identical_errors, tags, notes
FROM sweeps;
