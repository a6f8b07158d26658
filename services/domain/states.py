"""States and reasons: the words used in code, SQL, JSON, logs and docs alike."""

from enum import StrEnum
from typing import assert_never


class TrialState(StrEnum):
    """`queued -> running -> succeeded | failed | cancelled`; `running -> queued` when lost or released, and
    `failed -> queued` when a user retries. Nothing else leaves an end."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class SweepState(StrEnum):
    """`partial`: every trial is over and some of them failed for good."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


class PackState(StrEnum):
    """A pack is a lease; only `running` packs may write."""

    RUNNING = "running"
    FINISHED = "finished"
    RELEASED = "released"
    LOST = "lost"


class DeliveryState(StrEnum):
    """`waiting -> delivered | given_up`."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class Reason(StrEnum):
    """Why a trial or an attempt is in its state."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    USER_ERROR = "user_error"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_LOST = "worker_lost"
    NODE_LOST = "node_lost"
    LEASE_EXPIRED = "lease_expired"
    RELEASED = "released"
    TIMEOUT = "timeout"
    POISON = "poison"
    UNKNOWN_ERROR = "unknown_error"
    CANCELLED_BY_USER = "cancelled_by_user"


OPEN_SWEEPS = frozenset({SweepState.QUEUED, SweepState.RUNNING, SweepState.PAUSED})
"""Sweeps that are not over."""


def allowed_actions(state: SweepState, *, failed_trials: int) -> list[str]:
    """What a user may do with a sweep in this state."""
    match state:
        case SweepState.QUEUED | SweepState.RUNNING:
            actions = ["pause", "cancel", "priority"]
        case SweepState.PAUSED:
            actions = ["resume", "cancel", "priority"]
        case SweepState.SUCCEEDED | SweepState.PARTIAL | SweepState.FAILED | SweepState.CANCELLED:
            actions = []
        case _:
            assert_never(state)
    retry = ["retry"] if failed_trials and state is not SweepState.CANCELLED else []
    return [*actions, *retry, "clone"]
