-- What webhooks are told of is written in the transaction that makes it so, whoever makes it so. The lock leaves out
-- webhooks that are being deleted: a transition must not fail for their sake.
CREATE FUNCTION tell_webhooks() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_deliveries (webhook_id, sweep_id, event, data)
    SELECT webhooks.id, NEW.id, told.event, jsonb_build_object(
        'id', NEW.id, 'name', NEW.name, 'owner', NEW.owner, 'tags', to_jsonb(NEW.tags), 'state', NEW.state,
        'pause_reason', NEW.pause_reason, 'trial_count', NEW.trial_count, 'trials', progress.trials,
        'created_at', NEW.created_at, 'started_at', NEW.started_at, 'finished_at', NEW.finished_at
    )
    FROM (SELECT CASE NEW.state WHEN 'paused' THEN 'sweep.paused' ELSE 'sweep.ended' END AS event) AS told
    JOIN webhooks ON webhooks.events ? told.event AND webhooks.owner IS NOT DISTINCT FROM NEW.owner
    CROSS JOIN LATERAL (
        SELECT coalesce(jsonb_object_agg(state, n), '{}') AS trials
        FROM (SELECT state, count(*) AS n FROM trials WHERE sweep_id = NEW.id GROUP BY state) AS counted
    ) AS progress
    FOR KEY SHARE OF webhooks;
    RETURN NULL;
END
$$;

CREATE TRIGGER webhooks_are_told AFTER UPDATE OF state ON sweeps
FOR EACH ROW
WHEN (OLD.state <> NEW.state AND NEW.state NOT IN ('queued', 'running'))
EXECUTE FUNCTION tell_webhooks();
