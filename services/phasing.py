"""Phases of trials that have succeeded: computed once from their traces, by a dispatcher that has time, then read.

A trial is due when it gets its summary (`db/sql/0013`), by training or with an archive. To compute phases anew, after a
change of what they mean, a migration makes trials due again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.arrays import BigInts
from services.phases import Curve, Steps, TrialPhases, detect

_MOST = 64
"""Trials at once."""

_TAKE = text("""
    DELETE FROM phases_due
    WHERE trial_id IN (SELECT trial_id FROM phases_due ORDER BY trial_id LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING trial_id
""")

_READ_LOSSES = text("""
    SELECT due.trial_id, measured.*
    FROM unnest(:trials ::bigint[]) AS due(trial_id)
    CROSS JOIN LATERAL (
        SELECT array_agg(step ORDER BY step) AS steps, array_agg(train_loss ORDER BY step) AS loss
        FROM metrics WHERE trial_id = due.trial_id
    ) AS measured
""")
_READ_ALIGNMENTS = text("""
    SELECT due.trial_id, measured.*
    FROM unnest(:trials ::bigint[]) AS due(trial_id)
    CROSS JOIN LATERAL (
        SELECT layer, array_agg(step ORDER BY step) AS steps, array_agg(gradient_alignment ORDER BY step) AS alignment
        FROM traces WHERE trial_id = due.trial_id AND gradient_alignment IS NOT NULL
        GROUP BY layer ORDER BY layer
    ) AS measured
""")

_FORGET = [
    text(f"DELETE FROM {table} WHERE trial_id = ANY(:trials ::bigint[])") for table in ("trial_phases", "layer_phases")
]
_KEEP_TRIALS = text("""
    INSERT INTO trial_phases (trial_id, loss_halved_at_step, loss_half_step, sequential)
    SELECT * FROM unnest(:trials ::bigint[], :halved ::bigint[], :half ::double precision[], :sequential ::boolean[])
""")
_KEEP_LAYERS = text("""
    INSERT INTO layer_phases
        (trial_id, layer, gradient_alignment_max, alignment_max_step, aligned_at_step, alignment_half_step,
         alignment_most_step, gradient_alignment_final, alignment_decline, declines, aligns_first)
    SELECT * FROM unnest(:trials ::bigint[], :layers ::bigint[], :maximum ::double precision[], :at ::bigint[],
        :aligned ::bigint[], :half ::double precision[], :most ::double precision[], :final ::double precision[],
        :decline ::double precision[], :declines ::boolean[], :first ::boolean[])
""")


def detect_next(session: Session) -> bool:
    """Keep the phases of some trials. False: none is due."""
    trials = BigInts(np.array(session.execute(_TAKE, {"most": _MOST}).scalars().all(), np.int64))
    if not len(trials.values):
        return False
    for statement in _FORGET:
        session.execute(statement, {"trials": trials})
    curves = _read(session, trials)
    found = {trial_id: own.phases() for trial_id, own in curves.items()}
    session.execute(
        _KEEP_TRIALS,
        {
            "trials": list(found),
            "halved": [phases.loss_halved_at_step for phases in found.values()],
            "half": [phases.loss_half_step for phases in found.values()],
            "sequential": [phases.sequential for phases in found.values()],
        },
    )
    layers = [
        (trial_id, layer, own)
        for trial_id, phases in found.items()
        for layer, own in zip(curves[trial_id].alignment, phases.layers, strict=True)
        if own is not None
    ]
    session.execute(
        _KEEP_LAYERS,
        {
            "trials": [trial_id for trial_id, _, _ in layers],
            "layers": [layer for _, layer, _ in layers],
            "maximum": [own.maximum for _, _, own in layers],
            "at": [own.maximum_step for _, _, own in layers],
            "aligned": [own.aligned_at_step for _, _, own in layers],
            "half": [own.half_step for _, _, own in layers],
            "most": [own.most_step for _, _, own in layers],
            "final": [own.final for _, _, own in layers],
            "decline": [own.decline for _, _, own in layers],
            "declines": [own.declines for _, _, own in layers],
            "first": [own.aligns_first for _, _, own in layers],
        },
    )
    return True


@dataclass
class _Curves:
    """One trial's loss, and the gradient alignment of each layer that has one, each against its own steps."""

    loss: tuple[Steps, Curve]
    alignment: dict[int, tuple[Steps, Curve]] = field(default_factory=dict)

    def phases(self) -> TrialPhases:
        """Of all curves at the steps of any: an imported trial may have more of one than of another."""
        curves = [self.loss, *self.alignment.values()]
        steps = np.unique(np.concatenate([own for own, _ in curves]))
        aligned = np.full((len(steps), len(curves)), np.nan)
        for column, (own, values) in zip(aligned.T, curves, strict=True):
            column[np.searchsorted(steps, own)] = values
        return detect(steps, aligned[:, 1:], aligned[:, 0])


def _read(session: Session, trials: BigInts) -> dict[int, _Curves]:
    found = {
        row.trial_id: _Curves(_curve(row.steps, row.loss)) for row in session.execute(_READ_LOSSES, {"trials": trials})
    }
    for row in session.execute(_READ_ALIGNMENTS, {"trials": trials}):
        found[row.trial_id].alignment[row.layer] = _curve(row.steps, row.alignment)
    return found


def _curve(steps: Sequence[int] | None, values: Sequence[float | None] | None) -> tuple[Steps, Curve]:
    """From arrays of SQL, NULL where they are empty; a value that is NULL becomes NaN."""
    return np.array(steps or [], np.int64), np.array(values or [], np.float64)
