"""What becomes of a trial whose attempt did not succeed. Pure: a decision is a value, and performs nothing."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from services.domain.states import Reason

_FIRST_DELAY = timedelta(seconds=1)
_LONGEST_DELAY = timedelta(minutes=5)
_CRASHES_ALONE_ALLOWED = 2
_LINE = 300


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the decision depends on. `attempts` counts this attempt too."""

    attempts: int
    max_attempts: int
    pack_size: int
    crashes_alone: int
    """Including this one."""


@dataclass(frozen=True, kw_only=True)
class Requeue:
    """Wait again, not before `delay` (jitter is added in SQL); `charged` attempts count against the limit."""

    charged: bool
    delay: timedelta = timedelta(0)
    pack_limit: int | None = None
    """At most so many trials in the next pack; None leaves the limit as it is."""


@dataclass(frozen=True, kw_only=True)
class Fail:
    """The trial is over."""

    reason: Reason


Decision = Requeue | Fail


def decide(reason: Reason, standing: Standing) -> Decision:
    """Errors of the user end the trial; lost infrastructure costs it nothing; what crashes alone twice is poison.

    What a pack did not survive is looked for in packs of half the size: a trial is charged only for what it does alone.
    """
    match reason:
        case Reason.USER_ERROR | Reason.TIMEOUT:
            return Fail(reason=reason)
        case Reason.WORKER_LOST:
            if standing.crashes_alone >= _CRASHES_ALONE_ALLOWED:
                return Fail(reason=Reason.POISON)
            return Requeue(charged=False, pack_limit=_half(standing.pack_size))
        case Reason.OUT_OF_MEMORY | Reason.UNKNOWN_ERROR:
            if standing.pack_size > 1:
                return Requeue(charged=False, pack_limit=_half(standing.pack_size))
            return _charge(reason, standing)
        case Reason.LEASE_EXPIRED | Reason.RELEASED | Reason.NODE_LOST:
            return Requeue(charged=False)
        case Reason.COMPLETED | Reason.DIVERGED | Reason.POISON | Reason.CANCELLED_BY_USER:
            raise ValueError(f"{reason} is an end, not a failed attempt")
        case _:
            assert_never(reason)


def alike(error: str) -> str:
    """What two errors of one cause have in common: the last line without numbers, at most 300 characters."""
    return re.sub(r"0x[0-9a-fA-F]+|\d+", "#", last_line(error))[:_LINE]


def last_line(error: str) -> str:
    """What an error says, as it says it: the last line, at most 300 characters."""
    lines = [line for line in error.splitlines() if line.strip()]
    return lines[-1].strip()[:_LINE] if lines else "an error without words"


def _charge(reason: Reason, standing: Standing) -> Decision:
    if standing.attempts >= standing.max_attempts:
        return Fail(reason=reason)
    delay = min(_LONGEST_DELAY, _FIRST_DELAY * 4 ** (standing.attempts - 1))
    return Requeue(charged=True, delay=delay)


def _half(size: int) -> int:
    return max(1, size // 2)
