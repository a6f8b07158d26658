"""How long trials will take, from how long packs took: those of the same shape, else the nearest by work per step."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.domain.footprint import work_per_step
from services.domain.ports import Resources
from services.domain.spec import TrialConfig

# Of the latest packs, by what they trained: how many, and seconds per update. Leases that were lost tell nothing.
_MEASURED = text("""
    SELECT pack_key, count(*) AS packs, max(packs.id) AS last,
        sum(extract(epoch FROM coalesce(packs.finished_at, now()) - claimed_at))::double precision / sum(model_steps)
            AS seconds_per_step
    FROM (SELECT * FROM packs ORDER BY id DESC LIMIT 10000) AS packs JOIN sweeps ON sweeps.id = packs.sweep_id
    WHERE packs.state IN ('running', 'finished') AND model_steps > 0 AND (gpu > 0) = :on_gpu
    GROUP BY pack_key
    ORDER BY last DESC
    LIMIT 200
""")

_CONFIGURATIONS = text("""
    SELECT pack.id, groups.config ::text
    FROM unnest(:packs ::bigint[]) AS pack(id)
    CROSS JOIN LATERAL (SELECT trial_id FROM attempts WHERE pack_id = pack.id LIMIT 1) AS attempt
    JOIN trials ON trials.id = attempt.trial_id
    JOIN groups ON groups.id = trials.group_id
""")

_CAPACITY = text("""
    SELECT coalesce(sum(capacity), 0) AS packs,
        coalesce(sum(of_the_kind.workers), 0) AS workers
    FROM dispatchers
    CROSS JOIN LATERAL (
        SELECT count(*) AS workers FROM workers WHERE dispatcher = dispatchers.name AND cpu = :cpu AND gpu = :gpu
    ) AS of_the_kind
    WHERE seen_at > now() - ttl_seconds * interval '1 s' AND NOT draining
""")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Trials of one pack key: one of their configurations, how many they are, and their updates in all."""

    config: TrialConfig
    trials: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Of a sweep that has all workers to itself. None is unknown."""

    worker_seconds: float | None
    """As if one worker did everything."""
    seconds: float | None
    """On the workers that are there now."""
    workers: int
    """Packs that may run at once, now."""
    basis: str | None
    """What the seconds come from."""


@dataclass(frozen=True, kw_only=True)
class _Pace:
    packs: int
    last: int
    seconds_per_step: float


def estimate(session: Session, shapes: Mapping[str, Shape], resources: Resources, *, running: int | None) -> Estimate:
    """How long these trials take, by pack key. `running`: how many may run at once, if that is limited."""
    workers = _workers(session, resources)
    trials = sum(shape.trials for shape in shapes.values())
    paces = _paces(session, resources)
    if not paces:
        return Estimate(worker_seconds=None, seconds=None, workers=workers, basis=None)
    works = _works(session, paces) if shapes.keys() - paces.keys() else {}
    total, scaled, packs = 0.0, 0, set[str]()
    for key, shape in shapes.items():
        nearest = key if key in paces else _nearest(work_per_step(shape.config), works)
        if nearest is None:
            return Estimate(worker_seconds=None, seconds=None, workers=workers, basis=None)
        factor = 1.0 if nearest == key else work_per_step(shape.config) / works[nearest]
        total += shape.steps * paces[nearest].seconds_per_step * factor
        scaled += nearest != key
        packs.add(nearest)
    at_once = min(workers, trials, running or trials)
    return Estimate(
        worker_seconds=total,
        seconds=total / at_once if at_once else None,
        workers=workers,
        basis=_told(sum(paces[key].packs for key in packs), shapes=len(shapes), scaled=scaled),
    )


def _workers(session: Session, resources: Resources) -> int:
    row = session.execute(_CAPACITY, {"cpu": resources.cpu, "gpu": resources.gpu}).one()
    return int(row.workers) if resources.gpu else int(int(row.packs) // max(1.0, resources.cpu))


def _paces(session: Session, resources: Resources) -> dict[str, _Pace]:
    rows = session.execute(_MEASURED, {"on_gpu": resources.gpu > 0})
    return {row.pack_key: _Pace(packs=row.packs, last=row.last, seconds_per_step=row.seconds_per_step) for row in rows}


def _works(session: Session, paces: Mapping[str, _Pace]) -> dict[str, float]:
    """Work per step of what was measured."""
    keys = {pace.last: key for key, pace in paces.items()}
    rows = session.execute(_CONFIGURATIONS, {"packs": list(keys)})
    return {keys[row.id]: work_per_step(TrialConfig.model_validate_json(row.config)) for row in rows}


def _nearest(work: float, works: Mapping[str, float]) -> str | None:
    return min(works, key=lambda key: abs(math.log(works[key] / work)), default=None)


def _told(packs: int, *, shapes: int, scaled: int) -> str:
    counted = f"{packs:,} pack{'s' if packs != 1 else ''}"
    if not scaled:
        return f"measured on {counted} of {'this shape' if shapes == 1 else 'these shapes'}"
    if scaled == shapes:
        return f"scaled by work per step from {counted} of other shapes"
    return f"measured on {counted}; {scaled} of {shapes} shapes are scaled by work per step from the others"
