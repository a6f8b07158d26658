"""The queue's verbs as tests say them: each commits, and a pack reports made-up numbers."""

from datetime import timedelta
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from services import queue, sweeps
from services.domain.ports import PackOrder, Resources
from services.domain.results import Checkpoint, Chunk, MetricColumns, Outcome, TraceColumns
from services.domain.states import Reason
from services.planning.expansion import parse

CPU = Resources(cpu=1, gpu=0)
TTL = timedelta(seconds=30)


def submit(session: Session, *, owner: str | None = None, **parts: Any) -> int:
    """A sweep of four trials of one shape, unless told otherwise."""
    sweep_id = submit_uncommitted(session, owner=owner, **parts)
    session.commit()
    return sweep_id


def submit_uncommitted(session: Session, *, owner: str | None = None, **parts: Any) -> int:
    document = {"name": "test", "seeds": {"count": 4}, **parts}
    summary, _ = sweeps.submit(session, parse(document), idempotency_key=None, owner=owner)
    return summary.id


def try_claim(session: Session, dispatcher: str = "d", ttl: timedelta = TTL, capacity: int = 1) -> queue.Claim | None:
    waiting = queue.waiting(session, capacity=capacity)
    claimed = queue.claim(session, waiting[0], dispatcher=dispatcher, capacity=capacity, ttl=ttl) if waiting else None
    session.commit()
    return claimed


def claim(session: Session, dispatcher: str = "d", ttl: timedelta = TTL, capacity: int = 1) -> PackOrder:
    claimed = try_claim(session, dispatcher, ttl, capacity)
    assert claimed is not None
    return claimed.order


def chunk(
    order: PackOrder,
    seq: int,
    *,
    step: int = 0,
    outcomes: list[Outcome] | None = None,
    checkpoint: bytes | None = None,
) -> Chunk:
    """One trace point of two layers for every trial of the order; layer 1 has no weight alignment.

    `checkpoint`: what each trial could go on from, after `step`.
    """
    ids = np.array(order.trial_ids, dtype=np.int64)
    n = len(ids)
    metrics = {name: np.full(n, 0.5) for name in MetricColumns.names()}
    traces = {name: np.full(2 * n, 0.25) for name in TraceColumns.names()}
    traces["weight_alignment"][::2] = np.nan
    metrics |= {"trial_id": ids, "step": np.full(n, step)}
    traces |= {"trial_id": ids.repeat(2), "step": np.full(2 * n, step), "layer": np.tile([1, 2], n)}
    return Chunk(
        pack_id=order.pack_id,
        seq=seq,
        metrics=MetricColumns(**metrics),
        traces=TraceColumns(**traces),
        checkpoints=[Checkpoint(trial_id=trial_id, step=step, safetensors=checkpoint) for trial_id in order.trial_ids]
        if checkpoint
        else [],
        outcomes=outcomes or [],
        model_steps=n,
    )


def completed(order: PackOrder, steps: int = 7) -> list[Outcome]:
    return [Outcome(trial_id=trial_id, reason=Reason.COMPLETED, steps=steps) for trial_id in order.trial_ids]


def record(session: Session, chunk: Chunk) -> queue.Recorded:
    recorded = queue.record(session, chunk)
    session.commit()
    return recorded


def states(session: Session) -> dict[str, int]:
    rows = session.execute(text("SELECT state, count(*) AS n FROM trials GROUP BY state"))
    return {row.state: row.n for row in rows}


def scalar(session: Session, query: str) -> Any:
    return session.execute(text(query)).scalar_one()


def violations(session: Session) -> dict[str, int]:
    """What the doctor finds wrong: invariants and how often each is broken."""
    rows = session.execute(text("SELECT invariant, violations FROM v_doctor WHERE violations > 0"))
    return {row.invariant: row.violations for row in rows}
