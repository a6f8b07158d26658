"""How often and how much at once: buckets that fill with time, and few long requests."""

from contextlib import ExitStack, suppress

import pytest
from fastapi import HTTPException

from api.limits import Limiter
from services.settings import Settings


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def admitted(limiter: Limiter, key: str, times: int) -> int:
    """How many of so many requests are let in."""
    let_in = 0
    for _ in range(times):
        with suppress(HTTPException):
            limiter.admit(key)
            let_in += 1
    return let_in


def test_a_bucket_fills_with_time_and_is_forgotten_when_it_is_full() -> None:
    clock = Clock()
    limiter = Limiter(rate=2, in_flight=1, clock=clock)
    assert admitted(limiter, "a", 25) == 20
    clock.now += 1
    assert admitted(limiter, "a", 5) == 2
    assert admitted(limiter, "b", 1) == 1
    clock.now += 11
    assert admitted(limiter, "c", 1) == 1
    assert limiter.known == 1
    assert admitted(limiter, "a", 25) == 20


def test_by_default_two_hundred_reads_a_second_pass() -> None:
    clock, settings = Clock(), Settings.from_environment()
    limiter = Limiter(rate=settings.rate, in_flight=settings.queries, clock=clock)
    for _ in range(60):
        assert admitted(limiter, "dashboard", 200) == 200
        clock.now += 1


def test_a_caller_has_few_long_requests_at_once_and_so_have_all_together() -> None:
    limiter = Limiter(rate=1, in_flight=2)
    with ExitStack() as flying:
        for key in ("a", "a", "b", "b", "c", "c", "d"):
            flying.enter_context(limiter.flight(key))
        with pytest.raises(HTTPException, match="You have 2 such requests"):
            flying.enter_context(limiter.flight("a"))
        flying.enter_context(limiter.flight("e"))
        with pytest.raises(HTTPException, match="All callers together"):
            flying.enter_context(limiter.flight("f"))
    with limiter.flight("a"), limiter.flight("a"):
        pass
