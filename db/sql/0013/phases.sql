-- A trial's phases are due with its summary, whoever writes it: a pack that ends, or an archive that is imported.
CREATE FUNCTION demand_phases() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO phases_due (trial_id) SELECT trial_id FROM summarised ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION demand_phases FROM PUBLIC;

CREATE TRIGGER phases_are_due AFTER INSERT ON trial_summaries
REFERENCING NEW TABLE AS summarised FOR EACH STATEMENT EXECUTE FUNCTION demand_phases();

-- Of the trials that are there.
INSERT INTO phases_due (trial_id) SELECT trial_id FROM trial_summaries;
