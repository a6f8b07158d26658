"""How the parameters of a group's trials compare at equal steps: do seeds end in one solution or in many?"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import structlog
from safetensors.numpy import load
from sqlalchemy import text
from sqlalchemy.orm import Session

from services.domain.errors import NotFound
from services.store import Store

_log = structlog.get_logger()

_TAKE = text("""
    DELETE FROM comparisons_due
    WHERE trial_id = (SELECT trial_id FROM comparisons_due ORDER BY trial_id FOR UPDATE SKIP LOCKED LIMIT 1)
    RETURNING trial_id
""")

# Snapshots of the trial, each with those of the other finished trials of its group at the same step.
_PAIRS = text("""
    SELECT own.step, own.sha256 AS own, other.trial_id, other.sha256 AS other
    FROM trials AS trial
    JOIN snapshots AS own ON own.trial_id = trial.id
    JOIN trials AS peer ON peer.group_id = trial.group_id AND peer.id <> trial.id AND peer.state = 'succeeded'
    JOIN snapshots AS other ON other.trial_id = peer.id AND other.step = own.step
    WHERE trial.id = :trial
    ORDER BY own.step
""")

_RECORD = text("""
    INSERT INTO parameter_cosines (trial_a, trial_b, step, layer, cosine)
    SELECT least(:trial, other), greatest(:trial, other), :step, layer, cosine
    FROM unnest(:others ::bigint[], :layers ::bigint[], :cosines ::double precision[]) AS t(other, layer, cosine)
    ON CONFLICT DO NOTHING
""")


def compare_next(session: Session, store: Store) -> bool:
    """Compare one finished trial with its group. False: none is due. Weights that the store lost are left out."""
    trial = session.execute(_TAKE).scalar_one_or_none()
    if trial is None:
        return False
    pairs: dict[int, list[tuple[str, int, str]]] = {}
    for row in session.execute(_PAIRS, {"trial": trial}):
        pairs.setdefault(row.step, []).append((row.own, row.trial_id, row.other))
    for step, at_step in pairs.items():
        others, layers, values = [], [], []
        for own, other, name in at_step:
            try:
                pair = layers_of(store.get(own)), layers_of(store.get(name))
            except NotFound as error:
                _log.error("snapshot lost", trial=trial, other=other, step=step, error=str(error))
                continue
            for layer, cosine in enumerate(cosines(*pair)):
                others.append(other)
                layers.append(layer)
                values.append(cosine)
        session.execute(_RECORD, {"trial": trial, "step": step, "others": others, "layers": layers, "cosines": values})
    return True


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
