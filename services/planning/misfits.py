"""Combinations of valid values that are no valid configurations, or the same one twice: each reason is told once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from services.domain.errors import Problem, json_pointer
from services.domain.schedule import total_steps
from services.domain.spec import MAX_STEPS_PER_TRIAL, SweepSpec, TrialConfig
from services.domain.spec.axes import identity
from services.planning.combinations import Row, pointer_to
from services.planning.problems import MAX_PROBLEMS

_EXAMINED = 10_000
_TOO_MANY_STEPS = "too_many_steps"


@dataclass(frozen=True, kw_only=True)
class _Reason:
    """Why a configuration is none: where it shows, and what is wrong."""

    location: tuple[str | int, ...]
    code: str
    message: str

    @property
    def is_late(self) -> bool:
        """Looked at only where the configuration is valid."""
        return self.code == _TOO_MANY_STEPS


class Misfits:
    """Makes configurations of combinations, and keeps what went wrong."""

    def __init__(self, spec: SweepSpec) -> None:
        self._spec = spec
        self._base = spec.base.model_dump(mode="json")
        self._reasons: dict[_Reason, tuple[Row, int]] = {}
        self._twice: list[tuple[Row, Row]] = []
        self._examined = 0

    @property
    def found(self) -> bool:
        return bool(self._reasons or self._twice)

    @property
    def enough(self) -> bool:
        """Whether to look no further."""
        return self._examined >= _EXAMINED

    def configuration(self, varied: Row) -> TrialConfig | None:
        """The base with these values; None, and noted, where that is no configuration."""
        config, reasons = self._attempt(varied)
        for reason in reasons:
            first, count = self._reasons.get(reason, (varied, 0))
            self._reasons[reason] = first, count + 1
        self._examined += self.found
        return config

    def note_twice(self, first: Row, second: Row) -> None:
        """Two combinations are the same configuration."""
        self._twice.append((first, second))

    def problems(self) -> list[Problem]:
        """One for each reason, at the value that has most to do with it."""
        found = [*(self._told(reason, *noted) for reason, noted in self._reasons.items()), *self._told_twice()]
        return found[:MAX_PROBLEMS]

    def _attempt(self, varied: Row) -> tuple[TrialConfig | None, list[_Reason]]:
        document = self._base
        for path, value in varied.items():
            document = _with_value(document, path.split("."), value)
        try:
            config = TrialConfig.model_validate(document)
        except ValidationError as error:
            return None, [
                _Reason(location=entry["loc"], code=entry["type"], message=entry["msg"].removeprefix("Value error, "))
                for entry in error.errors(include_url=False)
            ]
        steps = total_steps(config)
        if steps > MAX_STEPS_PER_TRIAL:
            message = f"{steps:,} updates; a trial may have {MAX_STEPS_PER_TRIAL:,}"
            return None, [_Reason(location=("train", "epochs"), code=_TOO_MANY_STEPS, message=message)]
        return config, []

    def _told(self, reason: _Reason, varied: Row, count: int) -> Problem:
        """The values that matter are those without which it is right, as far as that was looked at."""
        others = ({other: value for other, value in varied.items() if other != path} for path in varied)
        right = [all(other.is_late > reason.is_late for other in self._attempt(rest)[1]) for rest in others]
        matter = [path for path, matters in zip(varied, right, strict=True) if matters] or list(varied)
        setting = f" ({_setting({path: varied[path] for path in matter})})" if matter else ""
        more = f", and in {count - 1:,} more combination{'s' * (count > 2)}" if count > 1 else ""
        pointer = (
            pointer_to(self._spec, matter[-1], varied[matter[-1]])
            if matter
            else json_pointer(("base", *reason.location))
        )
        return Problem(pointer=pointer, code=reason.code, message=f"{reason.message}{setting}{more}")

    def _told_twice(self) -> Iterator[Problem]:
        for first, second in self._twice[:1]:
            more = f"; so are {len(self._twice) - 1:,} more pairs" if len(self._twice) > 1 else ""
            differing = [path for path in second if identity(second[path]) != identity(first.get(path))] or [*second]
            yield Problem(
                pointer=pointer_to(self._spec, differing[-1], second[differing[-1]]),
                code="duplicate_configuration",
                message=f"{_setting(first)} and {_setting(second)} are the same configuration{more}",
            )


def _setting(varied: Row) -> str:
    return ", ".join(f"{path} = {value}" for path, value in varied.items()) or "the base"


def _with_value(document: dict[str, Any], path: list[str], value: object) -> dict[str, Any]:
    """A copy of the document with the value at the path; what the path does not touch is shared."""
    head, *rest = path
    return {**document, head: _with_value(document[head], rest, value) if rest else value}
