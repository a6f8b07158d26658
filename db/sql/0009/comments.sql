-- What the public views and their columns mean, for \d+ in psql and for docs/sql.md. The first list holds for a column
-- of that name in every view, the second for one column of one view.
DO $$
DECLARE
    said record;
    views CONSTANT jsonb := $json${
        "v_sweeps": "One row per sweep.",
        "v_trials": "One row per trial: what it is, where it stands, how it ended.",
        "trial_params": "The configuration of every trial, flat and typed: WHERE name = 'train.lr' AND number < 0.01.",
        "v_curves": "Loss, accuracy and total alignment against the step: one row per trial and trace point.",
        "v_alignment": "Alignment against the step: one row per trial, trace point and layer.",
        "v_alignment_final": "Alignment at the last trace point: one row per finished trial and layer.",
        "v_group_stats": "Final metrics over the seeds of each configuration: succeeded trials only.",
        "v_group_alignment": "Final alignment of each layer over the seeds of each configuration.",
        "v_group_curves": "Curves over the seeds of each configuration: one row per group and trace point.",
        "v_group_alignment_curves": "Alignment curves over the seeds: one row per group, trace point and layer.",
        "v_order_parameters": "Order parameters of teacher-student pairs: one row per trial, trace point and entry.",
        "v_snapshots": "Weights that were kept: safetensors documents in the store.",
        "v_parameter_cosines": "How alike two seeds of a configuration are: one row per pair, step and layer.",
        "v_phases": "When each layer aligns, when the loss falls, and which comes first: succeeded trials, by layer.",
        "v_queue": "What waits and what runs: one row per sweep that has such trials.",
        "v_events": "What happened, in order: one row per transition.",
        "v_imports": "Sweeps that came as an archive.",
        "v_attempts": "One row per try at a trial: where it ran and how it ended.",
        "v_errors": "Trials of a sweep that failed alike: one row per kind of error.",
        "v_doctor": "The invariants of the queue. Reads all trials and their measurements once."
    }$json$;
    columns CONSTANT jsonb := $json${
        "sweep_id": "The sweep.",
        "content_sha256": "SHA-256 of the archive's spec and tables, in hex.",
        "imported_at": "When it came.",
        "trial_id": "The trial.",
        "group_id": "The configuration without the seed; trials of one group differ by the seed alone.",
        "pack_id": "The pack it was trained in: the lease, and its fencing token.",
        "seed": "Seed of all random streams that the configuration does not pin.",
        "rule": "Learning rule: bp, fa, dfa, shallow, ...",
        "model": "Kind of network: mlp, cnn, committee, transformer.",
        "activation": "Activation function: tanh, relu, linear, ...",
        "hidden": "Widths of the hidden layers, as JSON text: [64, 64].",
        "state": "Where it stands: queued, running, succeeded, failed, cancelled; a sweep also paused, partial.",
        "reason": "Why: completed, diverged, user_error, out_of_memory, timeout, worker_lost, poison, ...",
        "error": "The error in words; NULL when there was none.",
        "step": "Updates made so far; 0 is before the first.",
        "epoch": "Passes over the training data so far; may be fractional.",
        "layer": "Layer, counted from 1 at the bottom.",
        "n": "Trials that count in this row.",
        "train_loss": "Loss on the training samples that are evaluated, mean per sample.",
        "train_accuracy": "Share of them that is classified correctly, 0 to 1; NULL in regression.",
        "test_loss": "Loss on the test samples that are evaluated, mean per sample.",
        "test_accuracy": "Share of them that is classified correctly, 0 to 1; NULL in regression.",
        "weight_alignment": "Cosine of weights and feedback, -1 to 1; NULL where undefined (bp, layer 1 of dfa). dfa: W_l and F_l F_(l-1)^T; fa: W_l and B_l.",
        "gradient_alignment": "Cosine of the rule's and backpropagation's deltas, mean over samples, -1 to 1; NULL where undefined (bp, the output layer, layers that do not learn).",
        "weight_gradient_alignment": "Cosine of the rule's and backpropagation's gradients of the weights, -1 to 1.",
        "delta_norm_ratio": "Norm of the rule's deltas over that of backpropagation's.",
        "weight_norm": "Frobenius norm of the weights.",
        "update_norm": "Frobenius norm of the last update; NULL at step 0.",
        "delta_effective_rank": "Participation ratio of the rule's deltas: (sum s^2)^2 / sum s^4 over singular values s.",
        "alignment_condition": "Condition number of the alignment matrix A_l, from 1; NULL where it is not defined.",
        "alignment_identity": "tr(A_l) / (norm(A_l) sqrt(n_L)): 1 where A_l is a positive multiple of the identity.",
        "weight_alignment_scaled": "Weight alignment over all layers, with the feedback as it is used.",
        "gradient_alignment_published": "Gradient alignment without the last hidden layer, as in the authors' code.",
        "generalisation_error": "Exact, of a committee that learns from a teacher of its kind.",
        "train_loss_mean": "Mean over the trials.", "train_loss_sd": "Standard deviation over the trials; NULL for one.",
        "test_loss_mean": "Mean over the trials.", "test_loss_sd": "Standard deviation over the trials; NULL for one.",
        "train_accuracy_mean": "Mean over the trials, 0 to 1.",
        "train_accuracy_sd": "Standard deviation over the trials; NULL for one.",
        "test_accuracy_mean": "Mean over the trials, 0 to 1.",
        "test_accuracy_sd": "Standard deviation over the trials; NULL for one.",
        "test_accuracy_low": "Lower end of the 95 % interval of the mean (Student's t); NULL for one trial.",
        "test_accuracy_high": "Upper end of the 95 % interval of the mean.",
        "gradient_alignment_mean": "Mean over the trials.",
        "gradient_alignment_sd": "Standard deviation over the trials; NULL for one.",
        "gradient_alignment_low": "Lower end of the 95 % interval of the mean (Student's t); NULL for one trial.",
        "gradient_alignment_high": "Upper end of the 95 % interval of the mean.",
        "weight_alignment_mean": "Mean over the trials.",
        "weight_alignment_sd": "Standard deviation over the trials; NULL for one.",
        "group_hash": "Identifies the configuration without the seed, across sweeps.",
        "varied": "The axes of the sweep and this configuration's values on them, by dotted path.",
        "created_at": "When it was submitted, UTC.",
        "started_at": "When it was first claimed, UTC.",
        "finished_at": "When it was over, UTC; NULL until then.",
        "priority": "Higher is claimed first.",
        "actor": "Who did it: the owner of a token; NULL for the service itself."
    }$json$;
    single CONSTANT jsonb := $json${
        "v_sweeps": {
            "name": "Its name, which need not be unique.", "owner": "Who submitted it; NULL without tokens.",
            "trial_count": "Trials it was expanded to.", "spec": "The spec with all defaults written out.",
            "pause_reason": "Why it is paused; NULL when it is not.",
            "cpu": "CPUs that a pack of its trials occupies.", "gpu": "GPUs that a pack of its trials occupies.",
            "max_running": "Trials that may run at once; NULL for any number.",
            "trial_seconds": "Seconds after which an attempt times out; NULL for never.",
            "identical_errors": "Trials that may fail alike before it pauses; NULL for any number.",
            "tags": "Words that its owner gave it.", "notes": "What its owner wrote about it; NULL for nothing."
        },
        "v_trials": {
            "sweep": "Name of the sweep.", "position": "Order of expansion within the sweep, from 0.",
            "config_hash": "Identifies the configuration with the seed.",
            "attempts": "Attempts charged to the trial.", "max_attempts": "Attempts after which it fails for good.",
            "data": "Name of the data set.", "label_noise": "Share of labels drawn anew, 0 to 1.",
            "feedback_scale": "Scale of the feedback matrices: a number, or a word such as inv_sqrt_width.",
            "layers": "Layers with weights.", "lr": "Learning rate.", "batch_size": "Samples per update.",
            "epochs": "Passes over the training data that were asked for.",
            "config": "The full configuration, all defaults written out.",
            "steps": "Updates made; NULL until it has succeeded.",
            "diverged_at_step": "First step at which the outputs were not finite; NULL when it did not diverge.",
            "weight_alignment": "Cosine over all layers at the end, with the feedback as it was drawn.",
            "gradient_alignment": "Mean cosine over samples at the end, all hidden layers together."
        },
        "trial_params": {
            "name": "Dotted path of the value, for instance train.lr.",
            "number": "The value, where it is a number or a truth value (0, 1).",
            "text": "The value as text; JSON for lists."
        },
        "v_curves": {
            "weight_alignment": "Cosine over all layers, with the feedback as it was drawn.",
            "gradient_alignment": "Mean cosine over samples, all hidden layers together."
        },
        "v_alignment_final": {"step": "Updates made at the last trace point."},
        "v_group_stats": {"diverged": "How many of them diverged."},
        "v_order_parameters": {
            "quantity": "Q, R or T (matrices), v, A or F (vectors).", "i": "Row, from 1.",
            "j": "Column, from 1; 0 for vectors.", "value": "The entry."
        },
        "v_snapshots": {
            "step": "Updates made when the weights were kept.",
            "sha256": "Name of the document in the store.", "bytes": "Its size in bytes."
        },
        "v_parameter_cosines": {
            "layer": "Layer, counted from 1; 0 is all layers together.",
            "trial_a": "The one trial.", "trial_b": "The other trial, of a higher id.",
            "seed_a": "Seed of trial_a.", "seed_b": "Seed of trial_b.",
            "cosine": "Cosine of their parameters, -1 to 1; NULL where one is zero."
        },
        "v_phases": {
            "gradient_alignment_max": "The layer's highest gradient alignment.",
            "aligned_at_step": "First step at which it reaches half of its maximum.",
            "loss_halved_at_step": "First step at which half of the whole fall of the training loss is done.",
            "aligns_first": "Whether the layer aligns no later than the loss falls."
        },
        "v_queue": {
            "sweep": "Name of the sweep.", "sweep_state": "queued, running or paused.",
            "queued": "Trials that wait.", "running": "Trials that run.", "packs": "Packs they run in.",
            "oldest_queued_at": "When the one that has waited longest was submitted, UTC."
        },
        "v_events": {
            "event_id": "Grows with time.", "at": "When, UTC.",
            "sweep_id": "The sweep; NULL when it is not about one.", "trial_id": "The trial; NULL when it is not about one.",
            "pack_id": "The pack; NULL when it is not about one.",
            "kind": "sweep.submitted, trial.claimed, trial.succeeded, trial.requeued, ...",
            "detail": "More about it, by kind."
        },
        "v_attempts": {
            "reason": "How it ended; NULL while it runs.",
            "provenance": "Node, device, versions, and how numbers can be reproduced.",
            "started_at": "When it was claimed, UTC.", "finished_at": "When it ended, UTC; NULL while it runs."
        },
        "v_errors": {
            "error": "What the errors have in common: the last line, without numbers.",
            "trials": "Trials that failed so.", "last_at": "When the last one did, UTC."
        },
        "v_doctor": {
            "invariant": "Its name.", "meaning": "What must hold.",
            "violations": "How often it does not; 0 when all is well.", "example": "The id of one violation."
        }
    }$json$;
BEGIN
    FOR said IN
        SELECT relname AS view, attname AS name,
            coalesce(single #>> ARRAY[relname::text, attname::text], columns ->> attname::text) AS meaning
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
        WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace
    LOOP
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', said.view, said.name, said.meaning);
    END LOOP;
    FOR said IN SELECT key AS view, value AS meaning FROM jsonb_each_text(views) LOOP
        EXECUTE format('COMMENT ON VIEW %I IS %L', said.view, said.meaning);
    END LOOP;
END
$$;
