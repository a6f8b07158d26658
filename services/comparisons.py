"""How the parameters of a group's trials compare at equal steps: do seeds end in one solution or in many?"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import structlog
from safetensors.numpy import load
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from services.domain.errors import NotFound
from services.store import Store

_log = structlog.get_logger()

# The next snapshot to compare, none when all of the trial are.
_NEXT = text("""
    SELECT due.trial_id, own.step, own.sha256
    FROM (SELECT * FROM comparisons_due ORDER BY trial_id LIMIT 1) AS due
    LEFT JOIN LATERAL (
        SELECT step, sha256 FROM snapshots
        WHERE trial_id = due.trial_id AND step > due.after_step
        ORDER BY step LIMIT 1
    ) AS own ON true
""")

# Those of the other finished trials of its group at the same step.
_OTHERS = text("""
    SELECT other.trial_id, other.sha256
    FROM trials AS trial
    JOIN trials AS peer ON peer.group_id = trial.group_id AND peer.id <> trial.id AND peer.state = 'succeeded'
    JOIN snapshots AS other ON other.trial_id = peer.id AND other.step = :step
    WHERE trial.id = :trial
""")

_DONE_TO = text("UPDATE comparisons_due SET after_step = :step WHERE trial_id = :trial")
_DONE = text("DELETE FROM comparisons_due WHERE trial_id = :trial")

_RECORD = text("""
    INSERT INTO parameter_cosines (trial_a, trial_b, step, layer, cosine)
    SELECT least(:trial, other), greatest(:trial, other), :step, layer, cosine
    FROM unnest(:others ::bigint[], :layers ::bigint[], :cosines ::double precision[]) AS t(other, layer, cosine)
    ON CONFLICT DO NOTHING
""")


def compare_next(sessions: sessionmaker[Session], store: Store) -> bool:
    """Compare one finished trial at one step with its group. False: none is due.

    Weights are read between transactions, so that no lock waits for the store; what was compared twice is recorded
    once. Weights that the store lost are left out. Raises StoreUnavailable.
    """
    with sessions.begin() as session:
        due = session.execute(_NEXT).one_or_none()
        if due is None:
            return False
        if due.step is None:
            session.execute(_DONE, {"trial": due.trial_id})
            return True
        others = session.execute(_OTHERS, {"trial": due.trial_id, "step": due.step}).all()
    rows: list[tuple[int, int, float | None]] = []
    own = _read(store, due.sha256) if others else None
    for other in others:
        theirs = _read(store, other.sha256)
        if own is not None and theirs is not None:
            rows += [(other.trial_id, layer, cosine) for layer, cosine in enumerate(cosines(own, theirs))]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(("others", "layers", "cosines"))}
    with sessions.begin() as session:
        session.execute(_RECORD, {"trial": due.trial_id, "step": due.step, **columns})
        session.execute(_DONE_TO, {"trial": due.trial_id, "step": due.step})
    return True


def _read(store: Store, name: str) -> list[npt.NDArray[np.float64]] | None:
    """The parameters in this document, None where the store lost it."""
    try:
        return layers_of(store.get(name))
    except NotFound as error:
        _log.error("snapshot lost", error=str(error))
        return None


def layers_of(safetensors: bytes) -> list[npt.NDArray[np.float64]]:
    """Parameters of each layer, flattened, in the order of layers; tensors are named `layer<l>.<i>`."""
    tensors = load(safetensors)
    layers: dict[int, list[npt.NDArray[np.float64]]] = {}
    for name in sorted(tensors, key=_place):
        layers.setdefault(_place(name)[0], []).append(tensors[name].astype(np.float64).reshape(-1))
    return [np.concatenate(parts) for parts in layers.values()]


def cosines(a: Sequence[npt.NDArray[np.float64]], b: Sequence[npt.NDArray[np.float64]]) -> list[float | None]:
    """Of all parameters together, then of each layer; None where a side is zero."""
    dots = [float(x @ y) for x, y in zip(a, b, strict=True)]
    squares = [(float(x @ x), float(y @ y)) for x, y in zip(a, b, strict=True)]
    whole = (sum(dots), sum(x for x, _ in squares), sum(y for _, y in squares))
    return [
        dot / (x * y) ** 0.5 if x * y > 0 else None
        for dot, x, y in (whole, *((dot, x, y) for dot, (x, y) in zip(dots, squares, strict=True)))
    ]


def _place(name: str) -> tuple[int, int]:
    """Layer, and number within it, of the tensor of this name."""
    layer, number = name.removeprefix("layer").split(".")
    return int(layer), int(number)
