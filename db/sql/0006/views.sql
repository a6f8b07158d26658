-- What happened, in order, and who did it: the owner of a token, or the service itself (null).
CREATE OR REPLACE VIEW v_events AS
SELECT id AS event_id, at, sweep_id, trial_id, pack_id, kind, detail, actor FROM events;
