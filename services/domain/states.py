"""States and reasons: the words used in code, SQL, JSON, logs and docs alike."""

from enum import StrEnum


class TrialState(StrEnum):
    """`queued -> running -> succeeded | failed | cancelled`, and `running -> queued` when lost or released."""

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


class Reason(StrEnum):
    """Why a trial or an attempt is in its state."""

    COMPLETED = "completed"
    DIVERGED = "diverged"
    USER_ERROR = "user_error"
    OUT_OF_MEMORY = "out_of_memory"
    WORKER_LOST = "worker_lost"
    LEASE_EXPIRED = "lease_expired"
    RELEASED = "released"
    POISON = "poison"
    UNKNOWN_ERROR = "unknown_error"
    CANCELLED_BY_USER = "cancelled_by_user"
