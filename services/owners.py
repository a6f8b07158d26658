"""Whether a caller may change what exists. Sweeps and their trials belong to whoever submitted them."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from services.domain.access import Caller
from services.domain.errors import Forbidden

_OWNER_OF_SWEEP = text("SELECT owner FROM sweeps WHERE id = :id")
_OWNER_OF_TRIAL = text("SELECT owner FROM sweeps JOIN trials ON trials.sweep_id = sweeps.id WHERE trials.id = :id")


def require_sweep(session: Session, caller: Caller, sweep_id: int) -> None:
    """Raises Forbidden when the sweep exists and is another's."""
    _require(session, caller, f"sweep {sweep_id}", sweep_id, trial=False)


def require_trial(session: Session, caller: Caller, trial_id: int) -> None:
    """Raises Forbidden when the trial exists and is another's."""
    _require(session, caller, f"trial {trial_id}", trial_id, trial=True)


def _require(session: Session, caller: Caller, told: str, identifier: int, *, trial: bool) -> None:
    row = session.execute(_OWNER_OF_TRIAL if trial else _OWNER_OF_SWEEP, {"id": identifier}).one_or_none()
    if row is not None and not caller.may_change(row.owner):
        raise Forbidden(f"{told} belongs to {row.owner or 'nobody'}: its owner may change it, and an admin")
