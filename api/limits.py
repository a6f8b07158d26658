"""How often a caller may ask, and how much at once. Counted in this process, by its monotonic clock."""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import HTTPException

_BURST_SECONDS = 10
"""A caller who was quiet may ask so many seconds' worth at once."""
_CALLERS = 4
"""What all callers may have in flight together, in shares of one."""

Key = int | str | None
"""A token's id; the address of a caller without one."""


@dataclass
class _Bucket:
    """What was left at a time. It fills at the rate, up to the burst."""

    left: float
    at: float


class Limiter:
    """`rate`: requests per second that a caller may send in the long run; `in_flight`: long ones at the same time.

    Used on the event loop alone, so that it needs no locks. Raises ValueError where nothing would ever be admitted.
    """

    def __init__(self, *, rate: float, in_flight: int, clock: Callable[[], float] = time.monotonic) -> None:
        if not rate > 0 or in_flight < 1:
            raise ValueError("a caller must be allowed some requests a second, and one long one at once")
        self._rate = rate
        self._burst = max(1.0, rate * _BURST_SECONDS)
        self._in_flight = in_flight
        self._clock = clock
        self._buckets: OrderedDict[Key, _Bucket] = OrderedDict()
        self._flying: Counter[Key] = Counter()

    @property
    def known(self) -> int:
        """Callers that are remembered: those of late."""
        return len(self._buckets)

    def admit(self, key: Key) -> None:
        """Count a request. Raises 429."""
        self.require_room(key)
        self._buckets[key].left -= 1

    def require_room(self, key: Key) -> None:
        """Raises 429 when the caller's next request would be too many."""
        now = self._clock()
        bucket = self._buckets.setdefault(key, _Bucket(left=self._burst, at=now))
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        self._buckets.move_to_end(key)
        self._forget_the_quiet(now)
        if bucket.left < 1:
            raise _too_many("Too many requests", (1 - bucket.left) / self._rate)

    @contextmanager
    def flight(self, key: Key) -> Iterator[None]:
        """The block is one of the few long requests of the caller. Raises 429."""
        if self._flying[key] >= self._in_flight:
            raise _too_many(f"You have {self._in_flight} such requests in flight already", 1)
        if self._flying.total() >= _CALLERS * self._in_flight:
            raise _too_many("All callers together have too many such requests in flight", 1)
        self._flying[key] += 1
        try:
            yield
        finally:
            self._flying[key] -= 1
            if not self._flying[key]:
                del self._flying[key]

    def _forget_the_quiet(self, now: float) -> None:
        """A bucket that has been left alone for the time of a burst is full again, like one that was never there."""
        while next(iter(self._buckets.values())).at < now - self._burst / self._rate:
            self._buckets.popitem(last=False)


def _too_many(title: str, seconds: float) -> HTTPException:
    return HTTPException(429, title, headers={"Retry-After": str(max(1, math.ceil(seconds)))})
