"""A sweep that is over, with something in every table, made without training."""

from dataclasses import replace

import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from services import queue
from services.domain.results import Chunk, OrderColumns, Outcome, Provenance, Snapshot
from services.domain.states import Reason
from services.phasing import detect_next
from services.store import Store
from tests import queueing

PROVENANCE = Provenance(
    node="n",
    system="Linux 6 x86_64",
    cpu="c",
    device="cpu",
    accelerator=None,
    versions={"torch": "2"},
    commit=None,
    matmul="mkl",
    instructions="AVX2",
    threads=1,
    reproducibility="bitwise",
)
NAME = "=HYPERLINK()"  # as text for a spreadsheet
ERROR = 'Traceback:\n  "quoted", and a comma\n@ValueError: NA'
TAGS = ["two words", 'a "quoted" {brace}\\']
WEIGHTS = b"weights of a trial"


def finished_sweep(session: Session, store: Store, *, points: int = 3) -> int:
    """Eight trials, of which one has failed; order parameters, snapshots and their cosines among the results."""
    grid = {"rule.name": ["bp", "dfa"], "train.lr": [1, 0.001], "rule.feedback.scale": [0.5, "inv_sqrt_width"]}
    sweep_id = queueing.submit(session, name=NAME, grid=grid, seeds={"count": 1, "base": 2**63 - 1})
    failed = False
    while (claimed := queueing.try_claim(session)) is not None:
        order = claimed.order
        seeds = {trial_id: {"weight_init": trial_id} for trial_id in order.trial_ids}
        queue.record_provenance(session, order.pack_id, PROVENANCE, seeds)
        first = 0
        if not failed:
            outcome = Outcome(trial_id=order.trial_ids[0], reason=Reason.USER_ERROR, error=ERROR)
            queueing.record(session, queueing.chunk(order, 0, outcomes=[outcome]))
            failed, first = True, 1
        for point in range(points):
            last = point == points - 1
            chunk = queueing.chunk(
                order, point + first, step=point, outcomes=queueing.completed(order, steps=point) if last else []
            )
            queueing.record(session, _with_more(chunk, store, order.trial_ids, point))
        queue.end_pack(session, order.pack_id)
        session.commit()
    session.execute(
        text("""
            INSERT INTO parameter_cosines (trial_a, trial_b, step, layer, cosine)
            SELECT min(id), max(id), 0, 0, 0.25 FROM trials WHERE state = 'succeeded'
        """)
    )
    while detect_next(session):
        pass
    session.execute(text("UPDATE sweeps SET tags = :tags, notes = :notes"), {"tags": TAGS, "notes": ERROR})
    session.commit()
    return sweep_id


def _with_more(chunk: Chunk, store: Store, trial_ids: list[int], step: int) -> Chunk:
    """The chunk with numbers that are not all alike, order parameters, and snapshots."""
    assert chunk.metrics is not None
    assert chunk.traces is not None
    random = np.random.default_rng(step)
    ids = np.array(trial_ids)
    n = len(ids)
    loss = random.standard_normal(n) / 3
    loss[0] = -0.0
    orders = OrderColumns(
        trial_id=ids,
        step=np.full(n, step),
        quantity=np.full(n, "Q"),
        i=np.full(n, 1),
        j=np.full(n, 1),
        value=random.standard_normal(n),
    )
    store.put(WEIGHTS)
    return replace(
        chunk,
        metrics=replace(chunk.metrics, train_loss=loss),
        traces=replace(chunk.traces, gradient_alignment=random.standard_normal(2 * n)),
        orders=orders,
        snapshots=[Snapshot(trial_id=trial_id, step=step, safetensors=WEIGHTS) for trial_id in trial_ids],
    )
