-- An end is final: a trial leaves it only when a user retries what failed.
CREATE FUNCTION refuse_leaving_an_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'trial % has %; it cannot become %', OLD.id, OLD.state, NEW.state USING ERRCODE = 'check_violation';
END
$$;

CREATE TRIGGER ends_are_final BEFORE UPDATE OF state ON trials
FOR EACH ROW
WHEN (
    OLD.state IN ('succeeded', 'cancelled') AND NEW.state <> OLD.state
    OR OLD.state = 'failed' AND NEW.state NOT IN ('failed', 'queued')
)
EXECUTE FUNCTION refuse_leaving_an_end();
