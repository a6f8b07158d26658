"""How the combinations of a spec divide among its `when`."""

from collections import Counter
from dataclasses import dataclass

from services.domain.spec import SweepSpec


@dataclass(frozen=True, kw_only=True)
class Branch:
    """Combinations to which the same entries of `when` apply."""

    when: list[int]
    """Indices into `when`; none: the combinations that keep the base."""
    condition: str | None
    groups: int
    trials: int


def branches(spec: SweepSpec, groups: Counter[tuple[int, ...]]) -> list[Branch]:
    """How many groups and trials each set of branches has; those without a branch first."""
    if not spec.when:
        return []
    return [
        Branch(when=list(when), condition=_condition(spec, when), groups=n, trials=n * spec.seeds.count)
        for when, n in sorted(groups.items())
    ]


def _condition(spec: SweepSpec, when: tuple[int, ...]) -> str | None:
    conditions = [
        f"{path} = {' or '.join(str(value) for value in values)}"
        for index in when
        for path, values in spec.when[index].if_.items()
    ]
    return ", ".join(dict.fromkeys(conditions)) or None
