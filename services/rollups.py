"""Curves of groups whose sweep is over: computed once by a dispatcher that has time, then read instead of the rows."""

from sqlalchemy import text
from sqlalchemy.orm import Session

_TAKE = text("""
    DELETE FROM rollups_due
    WHERE group_id = (SELECT group_id FROM rollups_due ORDER BY group_id FOR UPDATE SKIP LOCKED LIMIT 1)
    RETURNING group_id
""")

# The views compute what they do not find kept: what they say is what is kept.
_KEEP_CURVES = text("""
    INSERT INTO group_curves
        (group_id, step, epoch, n, train_loss_mean, train_loss_sd, test_loss_mean, test_loss_sd,
         train_accuracy_mean, train_accuracy_sd, test_accuracy_mean, test_accuracy_sd,
         gradient_alignment_mean, gradient_alignment_sd, weight_alignment_mean, weight_alignment_sd)
    SELECT group_id, step, epoch, n, train_loss_mean, train_loss_sd, test_loss_mean, test_loss_sd,
        train_accuracy_mean, train_accuracy_sd, test_accuracy_mean, test_accuracy_sd,
        gradient_alignment_mean, gradient_alignment_sd, weight_alignment_mean, weight_alignment_sd
    FROM v_group_curves WHERE group_id = :group
""")
_KEEP_TRACES = text("""
    INSERT INTO group_traces
        (group_id, step, layer, n, gradient_alignment_mean, gradient_alignment_sd, weight_alignment_mean,
         weight_alignment_sd)
    SELECT group_id, step, layer, n, gradient_alignment_mean, gradient_alignment_sd, weight_alignment_mean,
        weight_alignment_sd
    FROM v_group_alignment_curves WHERE group_id = :group
""")
_MARK = text("UPDATE groups SET rolled_up = true WHERE id = :group")


def roll_up_next(session: Session) -> bool:
    """Keep the curves of one group. False: none is due."""
    group = session.execute(_TAKE).scalar_one_or_none()
    if group is None:
        return False
    for statement in (_KEEP_CURVES, _KEEP_TRACES, _MARK):
        session.execute(statement, {"group": group})
    return True
