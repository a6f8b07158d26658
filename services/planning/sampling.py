"""Random points of a sweep. Pure.

Each draw has a stream of its own, keyed by seed, path, sample and try: neither the order of the paths nor the number of
samples changes it, nor does any library's state.
"""

import hashlib
import math
from collections.abc import Iterator
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, assert_never

from services.domain.errors import InvalidSpec, Problem
from services.domain.spec import Choice, Distribution, IntUniform, LogUniform, RandomSpec, Uniform
from services.domain.spec.axes import identity

_TRIES = 100_000
_PARTS = 10**6
_EXACT = Context(prec=20)
_ROUNDED = Context(prec=6)


def draw(random: RandomSpec) -> Iterator[dict[str, Any]]:
    """The samples, by path, all different. Raises InvalidSpec when the space has not so many different points."""
    seen: set[Any] = set()
    for sample in range(random.samples):
        for attempt in range(_TRIES):
            point = {
                path: _value(distribution, _bits(random.seed, path, sample, attempt))
                for path, distribution in random.space.items()
            }
            key = tuple(identity(value) for value in point.values())
            if key not in seen:
                break
        else:
            raise InvalidSpec([_too_many_samples(random, sample)])
        seen.add(key)
        yield point


def points(random: RandomSpec) -> float:
    """How many different samples there can be; infinity where nobody would count them."""
    return math.prod(_points(distribution) for distribution in random.space.values())


def _points(distribution: Distribution) -> float:
    match distribution:
        case IntUniform(int_uniform=ends):
            return ends[1] - ends[0] + 1
        case Choice(choice=choice):
            return len({identity(value) for value in choice})
        case _:
            return math.inf


def _bits(seed: int, path: str, sample: int, attempt: int) -> int:
    """64 random bits."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{path}/{sample}/{attempt}".encode()).digest()[:8])


def _value(distribution: Distribution, bits: int) -> Any:
    match distribution:
        case Uniform(uniform=ends):
            low, high = (Fraction(repr(end)) for end in ends)
            return float(low + (high - low) * (bits * _PARTS >> 64) / _PARTS)
        case LogUniform(log_uniform=ends):
            start, end = (_EXACT.ln(Decimal(repr(end))) for end in ends)
            exponent = _EXACT.fma(_EXACT.subtract(end, start), _EXACT.divide(Decimal(bits), Decimal(2**64)), start)
            return min(max(float(_ROUNDED.plus(_EXACT.exp(exponent))), ends[0]), ends[1])
        case IntUniform(int_uniform=whole):
            return whole[0] + (bits * (whole[1] - whole[0] + 1) >> 64)
        case Choice(choice=choice):
            return choice[bits * len(choice) >> 64]
        case _:
            assert_never(distribution)


def _too_many_samples(random: RandomSpec, found: int) -> Problem:
    return Problem(
        pointer="/random/samples",
        code="too_many_samples",
        message=f"{random.samples:,} different samples were asked for, and this space gave {found:,}",
        hint="take fewer samples, or a grid",
    )
