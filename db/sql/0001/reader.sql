-- The read-only role: it sees the views and nothing else, and owns nothing.
DO $$
BEGIN
    CREATE ROLE alignsweep_reader LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- another database of this server, or another migration, made it
END
$$;

REVOKE CREATE ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM alignsweep_reader;
GRANT USAGE ON SCHEMA public TO alignsweep_reader;
GRANT SELECT ON
    v_sweeps, v_trials, trial_params, v_curves, v_alignment, v_alignment_final, v_group_stats, v_group_alignment,
    v_group_curves, v_group_alignment_curves, v_phases, v_queue
TO alignsweep_reader;
