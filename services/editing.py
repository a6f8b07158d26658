"""What owners write about their sweeps: name, tags and notes."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Event, Sweep
from services import sweeps
from services.domain.errors import EditedMeanwhile, NotFound
from services.domain.spec import content_hash
from services.sweeps import SweepSummary


def version(sweep: SweepSummary | Sweep) -> str:
    """Changes whenever what can be edited does, and comes back when that does."""
    return content_hash([sweep.name, list(sweep.tags), sweep.notes])[:16]


def edit(
    session: Session, sweep_id: int, changes: Mapping[str, Any], *, expected: Collection[str] | None
) -> SweepSummary:
    """Change some of `name`, `tags` and `notes`, if their version is one of those expected; None: whatever it is.

    Raises NotFound and EditedMeanwhile.
    """
    sweep = session.scalars(
        select(Sweep)
        .where(Sweep.id == sweep_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if sweep is None:
        raise NotFound("sweep", sweep_id)
    if expected is not None and version(sweep) not in expected:
        raise EditedMeanwhile(f"sweep {sweep_id} was edited meanwhile: read it again, and send its new ETag")
    changed = sorted(name for name, value in changes.items() if getattr(sweep, name) != value)
    for name in changed:
        setattr(sweep, name, changes[name])
    session.flush()
    if changed:
        session.add(Event(sweep_id=sweep_id, kind="sweep.edited", detail={"fields": changed}))
        session.flush()
    return sweeps.get(session, sweep_id)
